
// ---- the report, and the words and numbers it is told in. Text from outside becomes text nodes only, never markup.
// Characters that a person cannot see but that reorder or break the text around them are left out.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const seen = (_, value) => (typeof value === "string" ? value.replace(UNSEEN, " ") : value);
const report = JSON.parse(document.getElementById("report").textContent, seen);
const run = report.run;
const DAY = 86400000;
const SVG = document.getElementById("namespace").namespaceURI;
const NARROW = window.matchMedia("(max-width: 760px)"); // as in the style
const $ = (id) => document.getElementById(id);

/** An element with attributes (those with a null value left out) and children; a string child is text. */
function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) node.style.setProperty(key, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
function replace(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

const plain = new Intl.NumberFormat("en-GB");
const count = (value) => (value === null || value === undefined ? "\u2013" : plain.format(value));
const counted = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;
const fixed = (value, digits) => (value === null || value === undefined ? "\u2013" : value.toFixed(digits));
const significant = (value) => (Math.abs(value) >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(3))));
function percent(value) {
  const hundred = value * 100;
  return `${hundred >= 9.95 || hundred === 0 ? hundred.toFixed(0) : hundred >= 0.1 ? hundred.toFixed(1) : "<0.1"} %`;
}
/** A duration as [number, unit]. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return ["\u2013", ""];
  if (seconds < 0.9995) return [String(Math.round(seconds * 1000)), "ms"];
  return seconds < 120 ? [String(Number(seconds.toPrecision(3))), "s"] : [String(Number((seconds / 60).toPrecision(3))), "min"];
}
function bytes(value) {
  if (value === null || value === undefined) return "\u2013";
  if (value < 10000) return `${count(Math.round(value))} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

const dates = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const DATE = dates({ day: "numeric", month: "short", year: "numeric" });
const WEEKDAY = dates({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const TIME = dates({ hour: "2-digit", minute: "2-digit", hour12: false });
const date = (ms) => DATE.format(ms);
const weekday = (day) => WEEKDAY.format(day * DAY).replace(",", "");
const instant = (ms) => `${date(ms)}, ${TIME.format(ms)} UTC`;

const DEEDS = {
  visit: "visited", expose: "was shown", click: "clicked", favourite: "favoured", cart: "put in the cart",
  purchase: "bought", cancel: "gave back", search: "searched for", hide: "hid",
};
const ASKED = { visit: "a visit without a fresh slate", search: "a search", drift: "a profile that had drifted" };
const TIERS = {
  serengpt: "scored by SerenGPT", distilled: "scored by the distilled scorer", category: "by the category rule",
  last_good: "the last good slate", nothing: "with nothing to offer",
};
const FAMILIES = { category: "kind", brand: "brand", attribute: "trait", interest: "interest", scenario: "occasion" };
const typeName = (number) => report.types[number];

function itemAt(number) {
  const [id, title, category, price, tags] = report.items[number];
  const path = report.categories[category] || [];
  return { number, id, title, path, leaf: path[path.length - 1] || "", price, tags: tags.map((tag) => report.tags[tag]) };
}
const ruleName = (rule) => (report.rules[rule] || [rule.replaceAll("_", " ")])[0];
const ruleWords = (rule) => (report.rules[rule] || ["", "dropped by this rule"])[1];

/** A list of which the first `shown` entries stand there, and the others after a press of a button. */
function shortened(list, entries, shown, words) {
  list.append(...entries.slice(0, shown));
  if (entries.length <= shown + 1) {
    list.append(...entries.slice(shown));
    return [list];
  }
  const button = el("button", { type: "button", class: "more" }, words(entries.length - shown, entries.length));
  button.addEventListener("click", () => {
    const rest = entries.slice(shown);
    list.append(...rest);
    button.remove();
    const next = rest[0].querySelector("button, summary");
    if (next) next.focus({ preventScroll: true });
  });
  return [list, button];
}
const itemLink = (user, number, place) =>
  el("button", { type: "button", class: "item-link", onclick: () => openWhy(user, number, place) }, itemAt(number).title);
