
// ---- 5 and 6: the slate, and the page that a ranker makes with it
const PARTS = [["fit", "relevance", 2], ["new", "unexpected", 3], ["want", "aligned", 4]];

function part(kind, name, value) {
  return el("span", { class: `part ${kind}`, "data-name": name, "--v": Math.max(0, Math.min(value, 1)) },
    el("span", { class: "quiet" }, `${name} `), fixed(value, kind === "all" ? 3 : 2), el("i"));
}

const because = (reason) => report.reasons[reason] || report.reasons[0];

function showSlate(user) {
  const { trace } = user;
  if (!trace) return replace($("slate"), el("p", { class: "empty" }, NO_TRACE));
  if (!trace.kept.length) return replace($("slate"), el("p", { class: "empty" }, "No candidate was left: the slate is empty, and the ranker shows its own page."));
  const head = el("div", { class: "slate-head", "aria-hidden": "true" },
    el("span", {}), el("span", {}, "item"),
    [["fit", "fitting", "relevance"], ["new", "\u00d7 new", "unexpected"], ["want", "\u00d7 wanted", "aligned"], ["all", "= surprise", "serendipity"]]
      .map(([kind, plainly, name]) => el("span", { class: `${kind}-ink` }, el("b", {}, plainly), el("small", {}, name))),
    el("span", {}, "in words"), el("span", { class: "chance" }, "chance of place"));
  const rows = trace.kept.map((row, place) => {
    const item = itemAt(row[0]);
    return el("li", { class: "place" },
      el("span", { class: "rank" }, String(place + 1)),
      el("span", { class: "what" }, itemLink(user, row[0], null), el("span", { class: "leaf" }, item.leaf, item.price !== null && ` \u00b7 ${fixed(item.price, 2)}`)),
      PARTS.map(([kind, name, at]) => part(kind, name, row[at])),
      part("all", "serendipity", row[1]),
      el("span", { class: "because" }, because(row[6])),
      el("span", { class: "chance" }, el("span", { class: "quiet" }, "chance of this place "), percent(row[5])));
  });
  return replace($("slate"), head, ...shortened(el("ol"), rows, 10, (rest, all) => `Show all ${count(all)} places`));
}

function showShelf(user) {
  const { page } = user;
  if (!page.length) return replace($("shelf"), el("p", { class: "empty" }, "No page was blended for this user."));
  const surprises = page.filter((row) => row[1]).length;
  const cards = page.map((row, place) => {
    const item = itemAt(row[0]);
    return el("li", { class: row[1] ? "card is-seren" : "card" },
      el("div", { class: "top" }, el("span", {}, String(place + 1)), el("span", {}, row[1] ? "\u2726 serendipity" : "")),
      itemLink(user, row[0], place),
      el("span", { class: "leaf" }, item.leaf),
      el("div", { class: "foot" }, el("span", {}, item.price === null ? "" : fixed(item.price, 2)),
        el("span", { title: "score before and after blending" }, `${significant(row[2])} \u2192 ${fixed(row[3], 2)}`)));
  });
  return replace($("shelf"),
    el("p", { class: "quota" }, el("b", {}, `\u2726 ${surprises} of ${page.length}`), ` places are serendipity. Under each item: its price, and its score before and after blending.`),
    el("ol", { class: "shelf" }, cards));
}
