
// ---- 3 and 4: imagined titles, what they found, and what became of it
/** What became of every item of the trace: its place in the slate, or the rule that dropped it. */
function fates(user) {
  const fate = new Map();
  for (const [rule, items] of user.trace.filtered) for (const item of items) fate.set(item, { rule });
  user.trace.kept.forEach((row, place) => fate.set(row[0], { place }));
  return fate;
}

function fateWords(fate) {
  if (!fate) return el("span", {}, "not judged");
  return fate.rule === undefined ? el("span", { class: "is-kept" }, `kept, place ${fate.place + 1}`) : el("span", {}, ruleName(fate.rule));
}

const NO_TRACE = "SerenGPT was not asked about this user within this run.";

function showTitles(user) {
  const { trace } = user;
  if (!trace) return replace($("titles"), el("p", { class: "empty" }, NO_TRACE));
  const fate = fates(user);
  const found = trace.imagined.map(() => []);
  for (const [item, , sources] of trace.candidates) {
    for (const [isVector, imagined, rank] of sources) if (found[imagined]) found[imagined].push({ item, isVector, rank });
  }
  const rows = trace.imagined.map((title, number) => titleRow(user, title, found[number], fate));
  return replace($("titles"),
    rows.length ? shortened(el("ul", { class: "titles" }), rows, NARROW.matches ? 8 : 14, (rest, all) => `Show all ${count(all)} titles`) : el("p", { class: "empty" }, "SerenGPT imagined nothing usable."));
}

function titleRow(user, title, found, fate) {
  const byWords = found.filter((one) => !one.isVector).length;
  const ways = new Map();
  for (const one of [...found].sort((a, b) => a.rank - b.rank || a.isVector - b.isVector)) {
    ways.set(one.item, [...(ways.get(one.item) || []), `${one.isVector ? "meaning" : "words"} ${one.rank}`]);
  }
  const kept = [...ways.keys()].filter((item) => fate.get(item) && fate.get(item).rule === undefined).length;
  const rows = [...ways].map(([item, by]) =>
    el("li", {}, itemLink(user, item, null), el("span", {}, by.join(", ")), fateWords(fate.get(item))));
  const body = el("div", { class: "found" });
  const details = el("details", {},
    el("summary", {}, el("span", { class: "dream" }, title),
      el("span", { class: "tally" }, `${byWords} by words, ${found.length - byWords} by meaning`, kept > 0 && ", ", kept > 0 && el("b", {}, `${kept} kept`))), body);
  details.addEventListener("toggle", () => {
    if (!details.open || body.firstChild) return;
    body.append(...(rows.length
      ? [el("p", { class: "soft small" }, "Items that it is among the strongest to speak for, with the rank at which it found them:"), ...shortened(el("ul"), rows, 8, (rest) => `${count(rest)} more`)]
      : [el("p", { class: "soft small" }, "No candidate has this title among its strongest sources.")]));
  });
  return el("li", {}, details);
}

function showFunnel(user) {
  const { trace } = user;
  if (!trace) return replace($("funnel"), el("p", { class: "empty" }, NO_TRACE));
  const drops = { passed: [], scored: [], kept: [] };
  for (const row of trace.filtered) drops[report.stages[row[0]] || "passed"].push(row);
  const lost = (rows) => rows.reduce((sum, row) => sum + row[1].length, 0);
  const retrieved = trace.candidates.length;
  const passed = retrieved - lost(drops.passed);
  const scored = passed - lost(drops.scored);
  const most = Math.max(retrieved, trace.imagined.length, 1);
  const stage = (value, words, kind) =>
    el("div", { class: `stage ${kind || ""}`, "--v": value / most }, el("b", {}, count(value)), el("span", {}, words), el("i", { "aria-hidden": "true" }));
  replace($("funnel"),
    stage(trace.imagined.length, "imagined", "dream-stage"),
    el("div", { class: "drops" }, "each title brings what its words and its meaning find; together they vote"),
    stage(retrieved, "retrieved"), dropRow(user, drops.passed, "no rule dropped any"),
    stage(passed, "allowed"), dropRow(user, drops.scored, "all were worth scoring"),
    stage(scored, "judged"), dropRow(user, drops.kept, "all found a place"),
    stage(trace.kept.length, "kept", "last"));
}

function dropRow(user, rows, none) {
  if (!rows.length) return el("div", { class: "drops" }, none);
  const panel = el("div", { class: "dropped", hidden: true });
  const buttons = rows.map(([rule, items]) => {
    const button = el("button", { type: "button", class: "drop", "aria-expanded": "false" }, "\u2212", el("b", {}, count(items.length)), ` ${ruleName(rule)}`);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      for (const other of buttons) other.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-expanded", String(!open));
      panel.hidden = open;
      if (open) return;
      const lines = items.map((item) => el("li", {}, itemLink(user, item, null)));
      replace(panel, el("p", {}, `Dropped because ${ruleWords(rule)}.`), ...shortened(el("ul"), lines, 16, (rest) => `${count(rest)} more`));
    });
    return button;
  });
  return el("div", { class: "drops" }, el("div", { class: "drops-row" }, buttons), panel);
}
