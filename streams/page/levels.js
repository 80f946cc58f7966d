
// ---- 2: the levels, and what each belief rests on
function eventLine(event) {
  const what = event[3] >= 0 ? itemAt(event[3]).title : event[4] ? `\u201c${event[4]}\u201d` : "";
  return el("li", {}, el("span", {}, date(event[1])), el("span", {}, el("em", {}, `${DEEDS[typeName(event[2])]} `), what));
}

/** The events at these offsets, newest first; those that the page does not hold are counted. */
function evidenceLines(user, offsets) {
  const wanted = new Set(offsets);
  const events = user.events.filter((event) => wanted.has(event[0])).reverse();
  const missing = wanted.size - events.length;
  const lines = events.map(eventLine);
  if (missing) lines.push(el("li", {}, el("span", {}), el("span", {}, el("em", {}, counted(missing, "event", "events") + " too old for this page to name"))));
  return { events, lines };
}

/** The user's days as a thin strip, with those of some events marked. */
function strip(user, events) {
  const [from, to] = span(user);
  const x = (day) => ((day - from) / (to - from)) * 400;
  const most = Math.max(1, ...user.days.map((day) => day[D_WANTED]));
  const marked = new Set(events.map((event) => Math.floor(event[1] / DAY)));
  const bars = user.days.filter((day) => day[D_WANTED]).map((day) => {
    const tall = Math.max(Math.sqrt(day[D_WANTED] / most) * 24, 2);
    const is = marked.has(day[D_DAY]);
    return svg("rect", { class: is ? "mark" : "bar", x: x(day[D_DAY] + 0.5) - (is ? 2 : 1.25), y: 25 - tall, width: is ? 4 : 2.5, height: tall });
  });
  return svg("svg", { class: "strip", viewBox: "0 0 400 26", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("line", { class: "base", x1: 0, x2: 400, y1: 25.5, y2: 25.5 }), bars);
}

function historyPanel(user) {
  const rows = [...user.digest.history].reverse().map((row) =>
    el("li", {}, el("span", {}, date(row[2])), el("span", {}, el("em", {}, `${DEEDS[typeName(row[0])]} `), row[1])));
  return [
    el("h3", {}, "Recent history"),
    el("p", {}, "Kept beside the levels and read by SerenGPT word for word, newest first here."),
    rows.length ? shortened(el("ul", { class: "deeds" }), rows, 7, (rest) => `${count(rest)} more`) : el("p", {}, "Nothing yet."),
  ];
}

function beliefPanel(user, tag) {
  const { events, lines } = evidenceLines(user, tag.evidence);
  return [
    el("h3", {}, tag.text),
    el("p", {}, lines.length ? "Rests on these events, the newest of all that speak for it." : "No event is on record for it."),
    events.length > 0 && strip(user, events),
    shortened(el("ul", { class: "deeds" }), lines, 12, (rest) => `${count(rest)} more`),
    el("button", { type: "button", class: "more", onclick: () => showLevels(user) }, "Recent history"),
  ];
}

function showLevels(user) {
  const panel = el("div", { class: "evidence", "aria-live": "polite" }, historyPanel(user));
  let pinned = null;
  const show = (button, tag) => {
    for (const other of $("levels").querySelectorAll(".belief")) other.setAttribute("aria-pressed", String(other === button));
    replace(panel, beliefPanel(user, tag));
    if (NARROW.matches) button.after(panel);
  };
  const belief = (tag, most) => {
    const button = el("button", { type: "button", class: "belief", "aria-pressed": "false" },
      el("span", {}, tag.text), el("small", {}, FAMILIES[tag.family] || tag.family),
      el("span", { class: "meter", "--v": tag.score > 0 ? tag.score / most : 0 }, fixed(tag.score, 2), el("i")));
    const preview = () => { if (!NARROW.matches && pinned === null) show(button, tag); };
    button.addEventListener("pointerenter", preview);
    button.addEventListener("focus", preview);
    button.addEventListener("click", () => { pinned = pinned === button ? null : button; show(button, tag); });
    return el("li", {}, button);
  };
  const level = (name, words, tags, none) => {
    const most = Math.max(...tags.map((tag) => tag.score), 1e-9);
    return el("div", { class: "level" }, el("h3", {}, name, el("small", {}, ` ${words}`)),
      tags.length ? shortened(el("ul"), tags.map((tag) => belief(tag, most)), 12, (rest) => `${count(rest)} more`) : el("p", {}, none));
  };
  const facts = user.static.map((line) => el("li", { class: "fact" }, line));
  replace($("levels"),
    el("div", {},
      el("div", { class: "level" }, el("h3", {}, "Static", el("small", {}, " what is known outright")),
        facts.length ? el("ul", {}, facts) : el("p", {}, "Nothing is known outright.")),
      level("Long-term", "what keeps coming back", user.digest.long_term, "Nothing has come back often and regularly enough yet.")),
    level("Short-term", "what is wanted lately", user.digest.short_term, "Nothing recent is strong enough."),
    panel);
}
