
// ---- the run, the picker, and which user is shown
function showRun() {
  const [took, tookUnit] = duration(run.seconds);
  $("log-name").textContent = `${run.log_name}, ${date(run.first_ts_ms)} to ${date(run.last_ts_ms)}`;
  $("headline").textContent = `${counted(run.events, "event", "events")} in, ${counted(run.slates, "slate", "slates")} of surprises out.`;
  $("lede").textContent = `Replayed in ${took} ${tookUnit}: what ${counted(run.users, "user", "users")} did became profiles, SerenGPT imagined what might surprise them, and the catalogue answered. Below, ${counted(report.users.length, "user", "users")} step by step.`;
  const [median, medianUnit] = duration(run.event_to_slate_s_median);
  const [slow, slowUnit] = duration(run.event_to_slate_s_p99);
  const tiles = [
    ["events", count(run.events)], ["users", count(run.users)], ["events per second", count(Math.round(run.events_per_second))],
    [`slates, ${fixed(run.items_per_slate, 1)} items each`, count(run.slates)],
    ["event to slate, median", median, medianUnit], ["event to slate, 99th percentile", slow, slowUnit],
    ["serendipity labels", count(run.labels)], ["dead letters", count(run.dead_letters)],
  ];
  replace($("counters"), tiles.map(([words, value, unit]) => el("div", {}, el("dt", {}, words), el("dd", {}, value, unit && el("small", {}, unit)))));
  replace($("notes"), run.notes.map((note) => el("li", {}, note)));
  replace($("run-facts"), runFacts().map(([words, value]) => el("div", {}, el("dt", {}, words), el("dd", {}, value))));
}

function runFacts() {
  return [
    ...Object.entries(run.triggers).map(([reason, value]) => [`questions after ${ASKED[reason] || reason}`, count(value)]),
    ["kind, brand and seller all new", count(run.serendipity_related_strict)], ["any of them new", count(run.serendipity_related_loose)],
    ["events with unknown items", count(run.unknown_items)], ["impressions in the log", run.impressions ? "yes" : "no"],
    ["Redis, in all", bytes(run.redis_bytes)], ["profile, median", bytes(run.profile_bytes_median)], ["slate, median", bytes(run.slate_bytes_median)],
    ["model", run.model_id], ["workers", count(run.workers)], ["partitions", count(run.partitions)],
    ["Python", run.python], ...Object.entries(run.versions),
  ];
}

/** A user's things wanted over the whole run, as a line of small bars. */
function spark(user) {
  const bins = new Array(20).fill(0);
  const first = Math.floor(run.first_ts_ms / DAY);
  const length = Math.max(Math.floor(run.last_ts_ms / DAY) - first + 1, 1);
  for (const day of user.days) bins[Math.min(Math.max(Math.floor(((day[D_DAY] - first) / length) * 20), 0), 19)] += day[D_WANTED];
  const most = Math.max(1, ...bins);
  return svg("svg", { width: 64, height: 18, "aria-hidden": "true" },
    bins.map((value, number) => value > 0 && svg("rect", { class: "bar", x: number * 3.2, y: 18 - Math.max(Math.sqrt(value / most) * 17, 1.5), width: 2.4, height: Math.max(Math.sqrt(value / most) * 17, 1.5) })));
}

function showPicker() {
  const buttons = report.users.map((user, number) =>
    el("button", { type: "button", class: "pick", onclick: () => choose(number) },
      el("b", {}, user.user_id), el("small", {}, counted(user.events_count, "event", "events")), spark(user)));
  replace($("picker-list"), buttons.map((button) => el("li", {}, button)));
  $("picker-search").addEventListener("input", (event) => {
    const words = event.target.value.trim().toLowerCase();
    let left = 0;
    report.users.forEach((user, number) => {
      const fits = [user.user_id, ...user.static].some((text) => text.toLowerCase().includes(words));
      buttons[number].parentNode.hidden = !fits;
      left += fits;
    });
    $("picker-none").hidden = left > 0;
  });
  $("picker").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const open = buttons.filter((button) => !button.parentNode.hidden);
    const next = open[open.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
    event.preventDefault();
    (next || $("picker-search")).focus();
  });
  $("picker-toggle").addEventListener("click", () => togglePicker($("picker-toggle").getAttribute("aria-expanded") !== "true"));
}

const togglePicker = (open) => $("picker-toggle").setAttribute("aria-expanded", String(open));

function choose(number) {
  const user = report.users[number];
  if (window.location.hash !== `#user=${encodeURIComponent(user.user_id)}`) {
    window.history.replaceState(null, "", `#user=${encodeURIComponent(user.user_id)}`);
  }
  showUser(number);
}

function showUser(number) {
  const user = report.users[number];
  $("picker-list").querySelectorAll(".pick").forEach((button, at) => {
    if (at === number) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
  togglePicker(false);
  replace($("picker-toggle"), el("span", {}, `User ${user.user_id}`, el("span", { class: "soft" }, `  ${number + 1} of ${report.users.length}`)));
  showWho(user);
  for (const show of [showTimeline, showLevels, showTitles, showFunnel, showSlate, showShelf]) show(user);
}

function showWho(user) {
  const { trace, slate } = user;
  const story = [`${counted(user.events_count, "event", "events")} on ${counted(user.days.length, "day", "days")}. `];
  if (trace) {
    story.push("SerenGPT was asked on ", el("strong", {}, instant(trace.as_of_ms)), ", after ", el("strong", {}, ASKED[trace.reason] || trace.reason), ". ");
    if (trace.digest_differs) story.push("The profile moved on a little since; section 2 shows it at the end of the run. ");
  } else story.push(NO_TRACE);
  const chips = slate ? [
    [`${TIERS[slate.tier] || slate.tier}, model`, slate.model_id],
    [isLive(user) ? "published" : "published, by this machine\u2019s clock,", instant(slate.published_ms)], ["stale from", instant(slate.soft_expiry_ms)],
    ["fence", `epoch ${slate.epoch}, offset ${count(slate.offset)}`],
  ] : [];
  replace($("who"), el("h2", {}, `User ${user.user_id}`), el("p", {}, story),
    chips.length > 0 && el("p", { class: "chips" }, chips.map(([words, value]) => el("span", { class: "chip" }, `${words} `, el("b", {}, value)))));
}

/** Whether the clock that dated the slate is near the events' time; in a replay of an old log it is not. */
function isLive({ trace, slate }) {
  return Boolean(trace && slate) && slate.published_ms >= trace.as_of_ms && slate.published_ms - trace.as_of_ms < DAY;
}

/** The user that the address names; null when it names a section, or nobody of this page. */
function userOfAddress() {
  const found = /^#user=(.*)$/.exec(window.location.hash);
  if (!found) return null;
  let name = found[1];
  try { name = decodeURIComponent(name); } catch (error) { if (!(error instanceof URIError)) throw error; }
  const number = report.users.findIndex((user) => user.user_id === name);
  return number < 0 ? null : number;
}

showRun();
showPicker();
$("why").addEventListener("click", (event) => { if (event.target === $("why")) $("why").close(); });
window.addEventListener("hashchange", () => { const number = userOfAddress(); if (number !== null) showUser(number); });
if (report.users.length) showUser(userOfAddress() ?? 0);
else replace($("walk"), el("p", { class: "empty" }, "This run has no user to show."));
