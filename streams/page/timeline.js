
// ---- 1: events on a time axis, and baskets
const [D_DAY, D_VISITS, D_WANTED, D_REFUSED, D_SEARCHES, D_EXPOSED, D_LABELS] = [0, 1, 2, 3, 4, 5, 6];
const LETTER = 6.8; // pixels of a letter of an axis label, at most
const EDGE = { left: 8, right: 10, top: 26, bottom: 22, below: 22 };

/** First and last day of the axis: the user's events and the moment at which SerenGPT was asked. */
function span(user) {
  const days = user.days.map((day) => day[D_DAY]);
  if (user.trace) days.push(Math.floor(user.trace.as_of_ms / DAY));
  if (!days.length) days.push(Math.floor(run.first_ts_ms / DAY), Math.floor(run.last_ts_ms / DAY));
  const [first, last] = [Math.min(...days), Math.max(...days)];
  const room = Math.max((last - first) * 0.015, 1);
  return [first - room, last + 1 + room];
}

function dayWords(day) {
  const parts = [
    [day[D_VISITS], "visit", "visits"], [day[D_WANTED], "thing wanted", "things wanted"],
    [day[D_LABELS], "of a new kind", "of a new kind"], [day[D_SEARCHES], "search", "searches"],
    [day[D_REFUSED], "given back or hidden", "given back or hidden"], [day[D_EXPOSED], "shown", "shown"],
  ];
  return parts.filter(([value]) => value).map(([value, one, many]) => counted(value, one, many)).join(", ");
}

/** Months, quarters, weeks or days: the finest that leaves `room` pixels to each label. */
function ticks([from, to], width, room) {
  const marks = [];
  const perDay = width / (to - from);
  for (const step of [1, 2, 7, 14]) {
    if (step * perDay < room) continue;
    for (let day = Math.ceil(from); day <= to; day += step) marks.push([day, dates({ day: "numeric", month: "short" }).format(day * DAY)]);
    return marks;
  }
  const months = [1, 2, 3, 6, 12, 24, 60].find((step) => step * 30.4 * perDay >= room) || 120;
  const start = new Date(from * DAY);
  for (let month = 0; ; month += 1) {
    const at = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + month, 1);
    if (at / DAY > to) return marks;
    const index = new Date(at).getUTCFullYear() * 12 + new Date(at).getUTCMonth();
    const first = index % 12 === 0 || !marks.length;
    if (at / DAY >= from && index % months === 0) {
      marks.push([at / DAY, dates(first ? { month: "short", year: "numeric" } : { month: "short" }).format(at)]);
    }
  }
}

function drawChart(user, width, height, chosen) {
  const [from, to] = span(user);
  const inner = width - EDGE.left - EDGE.right;
  const x = (day) => EDGE.left + ((day - from) / (to - from)) * inner;
  const base = height - EDGE.bottom - EDGE.below;
  const most = Math.max(1, ...user.days.map((day) => day[D_WANTED]));
  const mostRefused = Math.max(4, ...user.days.map((day) => day[D_REFUSED]));
  const bar = Math.min(Math.max(inner / (to - from) - 1, width < 600 ? 3 : 4), 14);
  const marks = [];
  let free = 0;
  for (const [day, words] of ticks([from, to], inner, 54)) {
    marks.push(svg("line", { class: "tick", x1: x(day), x2: x(day), y1: EDGE.top, y2: base + EDGE.below }));
    const long = words.length * LETTER;
    const at = Math.min(x(day), width - long);
    if (at < free) continue;
    marks.push(svg("text", { x: at, y: height - 6 }, words));
    free = at + long + 6;
  }
  if (chosen !== null) {
    marks.push(svg("rect", { class: "column", x: x(user.days[chosen][D_DAY]) - 3, y: EDGE.top - 4, width: bar + 6, height: base - EDGE.top + EDGE.below + 4, rx: 3 }));
  }
  for (const day of user.days) {
    const left = x(day[D_DAY]);
    const tall = Math.sqrt(day[D_WANTED] / most) * (base - EDGE.top - 8);
    if (tall) {
      const seren = (tall * day[D_LABELS]) / day[D_WANTED];
      marks.push(svg("rect", { class: "bar", x: left, y: base - tall, width: bar, height: tall - seren }));
      if (seren) marks.push(svg("rect", { class: "label", x: left, y: base - seren, width: bar, height: seren }));
    }
    if (day[D_REFUSED]) {
      const deep = Math.max(Math.sqrt(day[D_REFUSED] / mostRefused) * (EDGE.below - 6), 3);
      marks.push(svg("rect", { class: "refused", x: left + 0.5, y: base + 2.5, width: bar - 1, height: deep }));
    }
    if (!tall && day[D_VISITS]) marks.push(svg("circle", { class: "visit", cx: left + bar / 2, cy: base - 3.5, r: 2 }));
    if (day[D_SEARCHES]) marks.push(svg("circle", { class: "search", cx: left + bar / 2, cy: base - tall - 5, r: 2.5 }));
  }
  marks.push(svg("line", { class: "base", x1: EDGE.left, x2: width - EDGE.right, y1: base + 0.5, y2: base + 0.5 }));
  if (user.trace) marks.push(...askedMarks(user, x, width, base));
  return marks;
}

/** The moment of the question, which is also the slate's where it was answered at once. */
function askedMarks(user, x, width, base) {
  const asked = user.trace.as_of_ms;
  const at = x(asked / DAY);
  const words = isLive(user) ? "asked, slate out" : "SerenGPT asked";
  const end = at > width / 2;
  return [
    svg("line", { class: "asked", x1: at, x2: at, y1: 6, y2: base + EDGE.below }),
    svg("text", { class: "asked-text", x: at + (end ? -6 : 6), y: 14, "text-anchor": end ? "end" : "start" }, words),
  ];
}

function showTimeline(user) {
  const readout = el("p", { class: "readout" });
  const chart = svg("svg", { class: "chart", tabindex: 0, role: "slider", "aria-label": "Day of the timeline", "aria-valuemin": 1, "aria-valuemax": Math.max(user.days.length, 1) });
  const last = user.days.length - 1;
  let chosen = last >= 0 ? last : null;
  const tell = (number) => {
    const day = user.days[number];
    replace(readout, el("b", {}, weekday(day[D_DAY])), `  ${dayWords(day)}`);
  };
  const draw = () => {
    const { width, height } = chart.getBoundingClientRect();
    if (!width) return;
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    replace(chart, drawChart(user, width, height, chosen));
  };
  const choose = (number) => {
    chosen = number;
    chart.setAttribute("aria-valuenow", number + 1);
    chart.setAttribute("aria-valuetext", `${weekday(user.days[number][D_DAY])}: ${dayWords(user.days[number])}`);
    tell(number);
    draw();
    showBaskets(user, number, number !== last);
  };
  const nearest = (event) => {
    const box = chart.getBoundingClientRect();
    const [from, to] = span(user);
    const day = from + ((event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right)) * (to - from);
    let best = 0;
    user.days.forEach((row, number) => { if (Math.abs(row[D_DAY] - day) < Math.abs(user.days[best][D_DAY] - day)) best = number; });
    return best;
  };
  if (chosen !== null) {
    chart.addEventListener("pointermove", (event) => tell(nearest(event)));
    chart.addEventListener("pointerleave", () => tell(chosen));
    chart.addEventListener("click", (event) => choose(nearest(event)));
    chart.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: chosen - 1, ArrowDown: chosen - 1, ArrowRight: chosen + 1, ArrowUp: chosen + 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(Math.min(Math.max(to, 0), last));
    });
  }
  const has = (column) => user.days.some((day) => day[column]);
  const legend = el("p", { class: "legend" },
    el("span", {}, "wanted"),
    has(D_LABELS) && el("span", { class: "is-label" }, "of these, a kind not seen lately (a serendipity label)"),
    has(D_REFUSED) && el("span", { class: "is-refused" }, "given back or hidden"),
    has(D_SEARCHES) && el("span", { class: "is-search" }, "a search"),
    user.trace && el("span", { class: "is-asked" }, "SerenGPT was asked"));
  replace($("timeline"), readout, chart, legend);
  watchWidth(chart, draw);
  if (chosen === null) replace($("baskets"), el("p", { class: "empty" }, "This user has no events in this page."));
  else choose(chosen);
}

/** Draws again when the chart's width changes; one observer at a time, for the chart that is on the page. */
let observer = null;
function watchWidth(chart, draw) {
  if (observer) observer.disconnect();
  observer = new ResizeObserver(draw);
  observer.observe(chart);
}

const LINES = 6;
/** The chosen day's basket and those of the days before it; of the first days, all. */
function showBaskets(user, number, isChosen) {
  const shown = NARROW.matches ? 2 : 4;
  const end = Math.max(number, Math.min(shown, user.days.length) - 1);
  const days = user.days.slice(Math.max(end - shown + 1, 0), end + 1).reverse();
  replace($("baskets"), days.map((day) => basket(user, day, isChosen && day === user.days[number])));
}

function basket(user, day, isChosen) {
  const rows = user.events.filter((event) => Math.floor(event[1] / DAY) === day[D_DAY] && typeName(event[2]) !== "visit");
  const lines = rows.map((event) => {
    const type = typeName(event[2]);
    const deed = type === "purchase" ? null : el("em", { class: "soft" }, `${DEEDS[type]} `);
    const what = event[3] >= 0 ? itemAt(event[3]).title : event[4] ? `\u201c${event[4]}\u201d` : "";
    const mark = event[5] === 1 ? "is-label" : type === "cancel" || type === "hide" ? "is-refused" : null;
    return el("li", { class: mark }, deed, what, event[5] === 1 && el("span", { class: "quiet" }, " (a new kind)"));
  });
  const all = day[D_WANTED] + day[D_REFUSED] + day[D_SEARCHES] + day[D_EXPOSED];
  const missing = all - rows.length;
  return el("article", { class: isChosen ? "basket chosen" : "basket" },
    el("h3", {}, weekday(day[D_DAY]), el("span", {}, all ? `${counted(all, "event", "events")}${day[D_LABELS] ? `, ${count(day[D_LABELS])} new` : ""}` : "visit only")),
    shortened(el("ul"), lines, LINES, (rest) => `${count(rest)} more`),
    missing > 0 && el("p", { class: "soft small" }, `${lines.length ? "and " : ""}${counted(missing, "event", "events")} too old for this page to name`));
}
