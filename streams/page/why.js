
// ---- why: one item, traced back from its place to the events that it rests on
function openWhy(user, number, place) {
  const item = itemAt(number);
  const dialog = $("why");
  const steps = [placedStep(user, place), ...traceSteps(user, number, place)].filter(Boolean);
  replace(dialog,
    el("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"),
    el("h2", { id: "why-title" }, item.title),
    el("p", { class: "leaf" }, [item.path.join(" \u203a "), item.price === null ? "" : fixed(item.price, 2), `item ${item.id}`].filter(Boolean).join(" \u00b7 ")),
    item.tags.length > 0 && el("p", { class: "chips" }, item.tags.map((tag) => el("span", { class: "chip" }, tag.slice(tag.indexOf(":") + 1)))),
    el("ol", { class: "chain" }, steps));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(title, isSeren, ...content) {
  return el("li", { class: isSeren ? "is-seren" : null }, el("h3", {}, title), content);
}

function placedStep(user, place) {
  if (place === null) return null;
  const [, isSeren, score, boosted, why] = user.page[place];
  return step(`Place ${place + 1} of ${user.page.length} on the page, ${isSeren ? "serendipity" : "personalised"}`, isSeren,
    el("p", {}, `Score ${significant(score)}, ${fixed(boosted, 2)} after blending.`), why && el("p", {}, sentence(why)));
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

function traceSteps(user, number, place) {
  const { trace } = user;
  if (!trace) return [step("No trace", false, el("p", {}, NO_TRACE))];
  const at = trace.kept.findIndex((row) => row[0] === number);
  const candidate = trace.candidates.find((row) => row[0] === number);
  if (place !== null && !user.page[place][1]) {
    return [step("From the ranker\u2019s own list", false, el("p", {}, at < 0 ? "It came in with the personalised items; serendipity had no part in it." : `It came in with the personalised items, and stands at place ${at + 1} of the slate as well.`))];
  }
  const steps = [];
  if (at >= 0) steps.push(keptStep(user, trace.kept[at], at));
  else steps.push(droppedStep(trace, number));
  if (candidate) steps.push(foundStep(trace, candidate));
  if (at >= 0) steps.push(...beliefSteps(user, trace.kept[at]));
  return steps;
}

function keptStep(user, row, at) {
  return step(`Kept at place ${at + 1} of ${user.trace.kept.length}`, true,
    el("div", { class: "sum" }, PARTS.map(([kind, name, column]) => el("div", {}, el("small", {}, name), part(kind, null, row[column]))),
      el("div", {}, el("small", {}, "serendipity"), part("all", null, row[1]))),
    el("p", {}, `It was drawn for this place with a probability of ${percent(row[5])}: a little chance keeps slates comparable later.`));
}

function droppedStep(trace, number) {
  const found = trace.filtered.find((row) => row[1].includes(number));
  return found
    ? step(`Dropped: ${ruleName(found[0])}`, false, el("p", {}, sentence(ruleWords(found[0]))))
    : step("Not judged", false, el("p", {}, "The trace does not name this item."));
}

function foundStep(trace, [, relevance, sources]) {
  const titles = new Map();
  for (const [isVector, imagined, rank] of sources) {
    if (!titles.has(imagined)) titles.set(imagined, []);
    titles.get(imagined).push(`${isVector ? "by meaning" : "by words"}, rank ${rank}`);
  }
  const lines = [...titles].map(([imagined, ways]) =>
    el("li", {}, el("span", { class: "dream" }, trace.imagined[imagined] || "?"), ` ${ways.join("; ")}`));
  return step("Found through imagined titles", false, el("p", {}, `The strongest of them; together they gave it a relevance of ${fixed(relevance, 2)}.`), el("ul", { class: "sources" }, lines));
}

function beliefSteps(user, row) {
  const { spoken, spoken_short_count: shortCount } = user.trace;
  const beliefs = new Map();
  for (const number of row[7]) {
    const tag = spoken[number];
    const known = beliefs.get(`${tag.family}:${tag.text}`) || { text: tag.text, family: tag.family, scores: [], evidence: [] };
    known.scores.push(`${number < shortCount ? "short-term" : "long-term"} ${fixed(tag.score, 2)}`);
    known.evidence.push(...tag.evidence);
    beliefs.set(`${tag.family}:${tag.text}`, known);
  }
  const says = step("What a ranker may say of it", false, el("p", {}, sentence(because(row[6]))));
  if (!beliefs.size) {
    says.append(el("p", {}, "No single belief has all its words in this item: it was imagined from the whole profile."));
    return [says];
  }
  return [says, ...[...beliefs.values()].map((belief) => {
    const { events, lines } = evidenceLines(user, belief.evidence);
    return step(`Rests on the belief \u201c${belief.text}\u201d`, false,
      el("p", {}, `${sentence(FAMILIES[belief.family] || belief.family).slice(0, -1)}: ${belief.scores.join(", ")}`),
      events.length > 0 && strip(user, events), shortened(el("ul", { class: "deeds" }), lines, 6, (rest) => `${count(rest)} more`));
  })];
}
