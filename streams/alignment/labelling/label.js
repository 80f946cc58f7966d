"use strict";
(() => {
  const key = new URLSearchParams(location.search).get("key") || "";
  const at = (id) => document.getElementById(id);
  let state = null;
  let busy = false;

  const made = (name, className, text) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  const CHOICES = {
    sample: [
      ["a", "Serendipitous", "yes", { choice: "accept" }],
      ["1", "No: not wanted", "no", { choice: "reject", failed: "relevance" }],
      ["2", "No: no surprise", "no", { choice: "reject", failed: "unexpectedness" }],
      ["3", "No: no real thing", "no", { choice: "reject", failed: "reality" }],
      ["r", "No: another reason", "no", { choice: "reject" }],
      ["s", "Skip", "", { choice: "skip" }],
    ],
    pair: [
      ["1", "The first", "yes", { choice: "first" }],
      ["2", "The second", "yes", { choice: "second" }],
      ["s", "Skip", "", { choice: "skip" }],
    ],
  };

  const call = async (path, body) => {
    if (busy) return;
    busy = true;
    try {
      const options = { headers: { "X-Key": key } };
      if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
      const response = await fetch(path, options);
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      state = answer;
      draw();
    } catch (error) {
      at("error").textContent = `Not kept: ${error.message}`;
      at("work").hidden = false;
    } finally {
      busy = false;
    }
  };

  const decide = (answer) => state && state.question && call("decide", { id: state.question.id, ...answer });
  const undo = () => state && state.can_undo && call("undo", {});

  const chips = (name, tags) => {
    const part = [];
    if (!tags.length) return part;
    part.push(made("h3", "", name));
    const row = made("div", "chips");
    for (const tag of tags) {
      const chip = made("span", "chip", tag.text === undefined ? tag : tag.text);
      if (tag.family) chip.append(made("small", "", tag.family));
      row.append(chip);
    }
    part.push(row);
    return part;
  };

  const drawPerson = (question) => {
    const parts = [
      ...chips("Facts", question.static),
      ...chips("Lasting", question.long_term),
      ...chips("Of late", question.short_term),
    ];
    at("profile").replaceChildren(...(parts.length ? parts : [made("p", "category", "Nothing is known yet.")]));
    at("history").replaceChildren(
      ...question.history.map((line) => {
        const node = made("li");
        node.append(made("div", "", line.title));
        node.append(made("div", "meta", [line.verb, line.when, line.category].filter(Boolean).join(" · ")));
        return node;
      }),
    );
  };

  const drawAsked = (question) => {
    const isPair = question.kind === "pair";
    at("ask").textContent = isPair ? "Which would surprise and please them more?" : "Would this surprise and please them?";
    at("items").replaceChildren(
      ...question.titles.map((title, place) => {
        const node = made("div", "item");
        if (isPair) node.append(made("h3", "", place ? "The second" : "The first"));
        node.append(made("div", "title", title));
        const category = question.categories[place];
        node.append(made("div", category ? "category" : "category nothing", category || "nothing of the kind is sold"));
        return node;
      }),
    );
    at("verdict").replaceChildren(...verdict(question, isPair));
    const buttons = CHOICES[question.kind].map(([letter, text, className, answer]) => button(letter, text, className, () => decide(answer)));
    const back = button("u", "Undo the last", "", undo);
    back.disabled = !state.can_undo;
    at("choices").replaceChildren(...buttons, back);
    at("error").textContent = "";
  };

  const verdict = (question, isPair) => {
    if (question.verdict === undefined || question.verdict === null) return [];
    const word = isPair
      ? `${question.verdict ? "the first" : "the second"} (${question.scores.join(" against ")} of 6)`
      : question.verdict ? "serendipitous" : "not serendipitous";
    const parts = [document.createTextNode("The judge: "), made("b", isPair || question.verdict ? "yes" : "no", word)];
    if (question.reason) parts.push(document.createTextNode(`, ${question.reason}`));
    return parts;
  };

  const button = (letter, text, className, action) => {
    const node = made("button", className);
    node.append(made("kbd", "", letter.toUpperCase()), document.createTextNode(text));
    node.addEventListener("click", action);
    return node;
  };

  const draw = () => {
    const done = state.total - state.left;
    at("progress").max = state.total || 1;
    at("progress").value = done;
    at("count").textContent = `${done} of ${state.total}, ${state.person}`;
    at("agreement").textContent = state.agreements.map((one) => {
      const other = one.first === state.person ? one.second : one.first;
      return `with ${other === "judge" ? "the judge" : other}: kappa ${one.kappa === null ? "–" : one.kappa.toFixed(2)} (${one.cases})`;
    }).join(" · ");
    at("work").hidden = !state.question;
    at("done").hidden = Boolean(state.question);
    if (state.question) {
      drawPerson(state.question);
      drawAsked(state.question);
    } else {
      at("done-note").textContent = "Close this page and stop seren label with Ctrl-C. U takes the last decision back.";
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state) return;
    const letter = event.key.toLowerCase();
    if (letter === "u") return void undo();
    const found = state.question && CHOICES[state.question.kind].find(([name]) => name === letter);
    if (found) decide(found[3]);
  });

  call("state");
})();
