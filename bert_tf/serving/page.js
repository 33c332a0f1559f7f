
"use strict";
const byId = (id) => document.getElementById(id);
let models = {};  // What /status says of each.

// ---------------------------------------------------------------------------
// Elements. Typed texts and labels are shown as text, never as markup.

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function makeAll(tag, className, ...children) {
  const element = make(tag, undefined, className);
  element.append(...children);
  return element;
}

function show(...elements) {
  byId("result").replaceChildren(...elements);
  // On a telephone the answer would be below what is seen.
  if (elements.length) byId("result").scrollIntoView({block: "nearest"});
}

function showError(message) { show(make("p", message, "error")); }

// ---------------------------------------------------------------------------
// Asking the server.

// Answers that say nothing to a visitor get words; the others speak for
// themselves.
const ERRORS = {
  401: "This server needs a key. Ask whoever runs it.",
  404: "The server does not have this model any more. Reload the page.",
  413: "This is too long for the server. Try a shorter text.",
  429: "The server is busy. Try again in a few seconds.",
  500: "Something went wrong in the server. Its log says what.",
  503: "The server is not ready, or it is closing. Try again in a moment.",
  504: "The model took too long. Try a shorter text, or try again.",
};

// The key of a server that wants one, until the tab is closed. /docs reads it.
const KEY = "bert-api-key";

async function ask(path, body) {
  let reply, answer;
  const key = sessionStorage.getItem(KEY);
  const headers = key ? {Authorization: `Bearer ${key}`} : {};
  try {
    reply = await fetch(path, body ? {
      method: "POST",
      headers: {...headers, "Content-Type": "application/json"},
      body: JSON.stringify(body),
    } : {headers});
  } catch (error) {
    throw new Error("The server cannot be reached. Is it running?");
  }
  if (reply.status === 401) askForKey();
  if (!reply.ok && ERRORS[reply.status]) throw new Error(ERRORS[reply.status]);
  try {
    answer = await reply.json();
  } catch (error) {
    throw new Error(`The server's answer cannot be read (${reply.status}).`);
  }
  if (!reply.ok) throw new Error(inWords(answer.error));
  return answer;
}

// "item 0: the mark [E1] is missing" -> "The mark [E1] is missing."
function inWords(error) {
  const words = error.replace(/^item 0: /, "");
  const end = /[.!?…]$/.test(words) ? "" : ".";
  return words[0].toUpperCase() + words.slice(1) + end;
}

// ---------------------------------------------------------------------------
// Types of entities: each has a colour and, if it is well known, a name.

const NAMES = {
  PER: "person", PERSON: "person", LOC: "place", ORG: "organization",
  MISC: "other name", GPE: "country or city", FAC: "building",
  NORP: "group of people",
};
const HUES = {PER: 215, LOC: 140, ORG: 28, MISC: 285};
const MORE_HUES = [0, 178, 55, 325, 95, 250];  // Of all other types, in turn.
let hues = {};  // {type: hue} of the chosen model.

const typeOf = (tag) => tag.split("-").slice(1).join("-");

function setHues(labels) {
  hues = {...HUES};
  const others = [...new Set(labels.map(typeOf))].sort()
    .filter((type) => type && !(type in hues));
  others.forEach((type, i) => {
    // Then by the golden angle, which keeps hues apart.
    hues[type] = MORE_HUES[i] ?? Math.round(137.5 * i) % 360;
  });
}

function hueOf(type) {
  if (type in hues) return hues[type];
  return [...type].reduce((sum, c) => (31 * sum + c.codePointAt()) % 360, 7);
}

function coloured(element, type) {
  if (type) element.style.setProperty("--hue", hueOf(type));
  return element;
}

function legend(types) {
  return [...new Set(types)].filter(Boolean).sort().map((type) => {
    const swatch = coloured(make("span", type, "swatch"), type);
    const entry = makeAll("li", "", swatch);
    const number = types.filter((other) => other === type).length;
    if (type in NAMES) entry.append(` ${NAMES[type]}`);
    if (number > 1) entry.append(` × ${number}`);
    return entry;
  });
}

// ---------------------------------------------------------------------------
// The form.

const MOST_LABELS = 8;
const chosen = () => models[byId("model").value];
const areas = () => [...document.querySelectorAll("textarea[name]")];

function showModel() {
  const name = byId("model").value, model = chosen();
  document.title = `${name} – try the model`;
  byId("title").textContent = name;
  byId("does").textContent = model.page.does;
  byId("length").textContent = model.page.length;
  byId("engine").textContent = `Computed by the engine ${model.engine}.`;
  setHues(model.labels);
  byId("labels").replaceChildren(...labelChips(model));
  const values = Object.values(model.page.example);
  byId("example").hidden = !values.length || values.some((v) => !v.length);
  const old = Object.fromEntries(areas().map((t) => [t.name, t.value]));
  byId("inputs").replaceChildren(...model.input_names.flatMap(
    (input) => field(model.page.inputs[input], old[input] || "")));
  show();
}

function labelChips(model) {
  if (model.page.shown_as === "entities") {
    return legend([...new Set(model.labels.map(typeOf))]);
  }
  const chips = model.labels.slice(0, MOST_LABELS)
    .map((label) => make("li", label));
  const rest = model.labels.length - chips.length;
  if (rest > 0) chips.push(make("li", `and ${rest} more`));
  return chips;
}

function field(input, value) {
  const label = make("label", input.title);
  const area = make("textarea");
  label.htmlFor = area.id = `input-${input.name}`;
  area.name = input.name;
  area.rows = input.num_lines;
  area.style.minHeight = `${1.55 * input.num_lines + 1.1}em`;
  area.value = value;
  area.addEventListener("input", () => area.removeAttribute("aria-invalid"));
  if (!input.hint) return [label, area];
  const hint = make("p", input.hint, "hint");
  hint.id = `hint-${input.name}`;
  area.setAttribute("aria-describedby", hint.id);
  if (!input.marks.length) return [label, area, hint];
  const buttons = input.marks.map((mark) => {
    const text = `Mark as ${mark.toLowerCase()}`;
    const button = make("button", text, "quiet small");
    button.type = "button";
    button.addEventListener("click", () => markSelection(area, mark));
    return button;
  });
  return [label, area, hint, makeAll("div", "buttons", ...buttons)];
}

// Puts marks around the selected part of a text, and takes older ones away.
function markSelection(area, mark) {
  const [start, end] = [area.selectionStart, area.selectionEnd];
  area.focus();
  if (start === end) return;
  const without = (text) => text.replaceAll(`[${mark}]`, "")
    .replaceAll(`[/${mark}]`, "");
  const before = without(area.value.slice(0, start)) + `[${mark}]`;
  const selected = without(area.value.slice(start, end)) + `[/${mark}]`;
  area.value = before + selected + without(area.value.slice(end));
  area.setSelectionRange(before.length + selected.length,
                         before.length + selected.length);
}

function typed() {
  const values = {};
  for (const area of areas()) {
    const input = chosen().page.inputs[area.name];
    if (!area.value.trim() && !input.may_be_blank) {
      area.setAttribute("aria-invalid", "true");
      area.focus();
      throw new Error(`Please fill in the field “${input.title}”.`);
    }
    values[area.name] = input.is_list
      ? area.value.split("\n").filter((line) => line.trim()) : area.value;
  }
  return values;
}

function fillInExample() {
  for (const area of areas()) {
    const value = chosen().page.example[area.name];
    area.value = Array.isArray(value) ? value.join("\n") : value;
    area.removeAttribute("aria-invalid");
  }
  byId("form").requestSubmit();
}

// ---------------------------------------------------------------------------
// Answers.

const MOST_BARS = 10;
const inPercent = (number) => `${(100 * number).toFixed(1)} %`;

// A row with a name, a bar and a number from 0 to 1.
function bar(name, number, isOther) {
  const fill = make("div");
  fill.style.width = `${100 * Math.min(1, Math.max(0, number))}%`;
  const meter = makeAll("div", "bar", fill);
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", name);
  meter.setAttribute("aria-valuemin", "0");
  meter.setAttribute("aria-valuemax", "100");
  meter.setAttribute("aria-valuenow", (100 * number).toFixed(1));
  meter.setAttribute("aria-valuetext", inPercent(number));
  return makeAll("div", isOther ? "row other" : "row", make("span", name),
                 meter, make("span", inPercent(number), "number"));
}

// Rows of bars, the longest first; isGiven says which ones are the answer, by
// default the first.
function bars(names, numbers, isGiven) {
  const rows = names.map((name, i) => [name, numbers[i], i])
    .sort((a, b) => b[1] - a[1])
    .map(([name, number, i], place) =>
      bar(name, number, isGiven ? !isGiven[i] : place > 0));
  const shown = makeAll("div", "rows", ...rows);
  if (rows.length <= MOST_BARS + 2) return [shown];
  const rest = rows.slice(MOST_BARS);
  for (const row of rest) row.hidden = true;
  const more = make("button", `Show all ${rows.length}`, "quiet small");
  more.addEventListener("click", () => {
    for (const row of rest) row.hidden = false;
    more.remove();
  });
  return [shown, makeAll("div", "buttons", more)];
}

function folded(title, ...elements) {
  return makeAll("details", "", make("summary", title), ...elements);
}

// Shows a text with marked parts: [{start, end, type, label}], in code points.
function marked(text, spans) {
  const points = Array.from(text);
  const shown = make("p", undefined, "text");
  let at = 0;
  for (const span of spans) {
    shown.append(points.slice(at, span.start).join(""));
    const mark = make("mark", points.slice(span.start, span.end).join(""));
    if (span.label) mark.append(make("small", span.label));
    shown.append(coloured(mark, span.type));
    at = span.end;
  }
  shown.append(points.slice(at).join(""));
  return shown;
}

// Finds entities as conlleval does: an I or an E continues the entity of the
// word before it if that is a B or an I of the same type. Any other tag except
// O starts an entity.
function entities(answer) {
  const spans = [];
  let lastPrefix = "O", lastType = "";
  answer.tags.forEach((tag, i) => {
    if (answer.starts[i] < 0) return;  // After the last word.
    const prefix = tag.split("-")[0], type = typeOf(tag);
    if (["B", "I"].includes(lastPrefix) && ["I", "E"].includes(prefix) &&
        type === lastType) {
      spans[spans.length - 1].end = answer.ends[i];
    } else if (prefix !== "O") {
      spans.push({start: answer.starts[i], end: answer.ends[i], type,
                  label: type});
    }
    [lastPrefix, lastType] = [prefix, type];
  });
  return spans;
}

const TYPES_OF_NAMES = ["PER", "ORG"];  // Their colours are far apart.

// "[E1]Ann[/E1] saw <e2>Bo</e2>" -> the text with both names marked.
function withNames(text) {
  const spans = [];
  let plain = "";
  for (const part of text.split(/(\[\/?E[12]\]|<\/?e[12]>)/)) {
    const number = /^[[<]\/?[Ee]([12])[\]>]$/.exec(part)?.[1];
    const at = Array.from(plain).length;
    if (!number) plain += part;
    else if (part[1] === "/") spans[spans.length - 1].end = at;
    else {
      const type = TYPES_OF_NAMES[number - 1];
      spans.push({start: at, label: `e${number}`, type});
    }
  }
  return marked(plain, spans);
}

// All numbers of a vector as lines up and down from zero.
function curve(numbers) {
  const most = Math.max(...numbers.map(Math.abs)) || 1;
  const drawing = byId("curve").content.firstElementChild.cloneNode(true);
  drawing.setAttribute("viewBox", `0 -1.05 ${numbers.length} 2.1`);
  drawing.firstElementChild.setAttribute("d", numbers
    .map((x, i) => `M${i + 0.5} 0V${(-x / most).toFixed(3)}`).join(""));
  return drawing;
}

// The set of labels that holds the right one, if the model has sets.
function setOf(a, names) {
  if (!a.label_set) return [];
  const shown = a.label_set.map((label) => names ? names[label] : label);
  const text = shown.join(", ") || "empty: no label is likely enough";
  return [make("p", `Set of labels: ${text}`, "hint")];
}

// Ways to show an answer; /status says which one a model needs. `values` has
// the typed texts.
const SHOW = {
  label: (a) => [
    make("p", a.label, "best"), ...setOf(a),
    ...bars(a.labels, a.probabilities)],
  labels: (a) => [
    make("p", a.labels.filter((_, i) => a.is_given[i]).join(", ") ||
      "No label fits", "best"),
    ...bars(a.labels, a.probabilities, a.is_given)],
  number: (a) => [
    make("p", String(Number((a.prediction ?? a).toFixed(4))), "best")],
  entities: (a, values) => {
    const found = entities(a);
    const key = makeAll("ul", "chips", ...legend(found.map((s) => s.type)));
    return [marked(values.text, found), key,
            make("p", `${found.length || "Nothing"} found`, "hint")];
  },
  choice: (a, values) => [
    make("p", values.endings[a.label], "best"),
    ...setOf(a, values.endings),
    ...bars(values.endings, a.probabilities)],
  relation: (a, values) => [
    make("p", a.label, "best"), ...setOf(a), withNames(values.text),
    ...bars(a.labels, a.probabilities)],
  span: (a, values) => [
    make("p", a.answer || "No answer in this text", "best"),
    ...(a.answer ? [marked(values.context, [a])] : []),
    ...bars(["How sure it is"], [a.score])],
  vector: (a) => {
    // Of the rows of a short text the last ones are padding.
    const vector = (a.embedding || a).slice(0, a.num_tokens);
    const rows = Array.isArray(vector[0]) ? vector : [vector];
    const isOne = rows !== vector;
    const size = `${rows[0].length} numbers`;
    const numbers = rows[0].slice(0, 8).map((x) => x.toFixed(3)).join("  ");
    return [
      make("p", isOne ? size : `${rows.length} vectors of ${size}`, "best"),
      ...(isOne ? [] : [make("p", "One for each piece of the text. The first:",
                             "hint")]),
      curve(rows[0]),
      make("p", rows[0].length > 8 ? `${numbers}  …` : numbers, "text"),
      folded("All numbers", make("pre", JSON.stringify(vector)))];
  },
  found: (hits) => [
    make("p", "The nearest texts, with the cosines of the vectors:", "hint"),
    makeAll("ol", "found", ...hits.map((hit) => makeAll("li", "",
      make("p", hit.text, "text"),
      make("p", `${hit.score.toFixed(3)}   ${hit.id}`, "hint"))))],
  plain: (a) => [make("pre", JSON.stringify(a, null, 2))],
};

// ---------------------------------------------------------------------------
// Why: what each word adds to the answer.

const LEAST_SHOWN = 0.1;  // Smaller shares of the largest score have no number.

const signed = (score) => (score < 0 ? "−" : "+") + Math.abs(score).toFixed(2);

function scored(text, words, largest) {
  const points = Array.from(text);
  const shown = make("p", undefined, "text why");
  let at = 0;
  for (const word of words) {
    shown.append(points.slice(at, word.start).join(""));
    const mark = make("mark", points.slice(word.start, word.end).join(""),
                      word.score < 0 ? "against" : "for");
    const share = Math.abs(word.score) / largest;
    mark.style.setProperty("--weight", share.toFixed(3));
    mark.title = signed(word.score);
    if (share >= LEAST_SHOWN) mark.append(make("small", signed(word.score)));
    shown.append(mark);
    at = word.end;
  }
  shown.append(points.slice(at).join(""));
  return shown;
}

const NAMES_OF_TEXTS = {
  text: "Text", text_pair: "Second text", question: "Question",
  context: "Text that holds the answer", ending: "Ending",
};

function explanation(found) {
  const largest = Math.max(...found.words.map((w) => Math.abs(w.score))) || 1;
  const total = signed(found.logit - found.baseline_logit);
  const about = found.word ? `“${found.word.text}” is ${found.target}` :
    found.kind === "regression" ? found.answer : found.target || "no answer";
  const fields = Object.entries(found.texts).filter(([, text]) => text);
  const texts = fields.flatMap(([field, text]) => [
    ...(fields.length > 1 ? [make("h2", NAMES_OF_TEXTS[field] || field)] : []),
    scored(text, found.words.filter((w) => w.field === field), largest)]);
  const warnings = [];
  if (found.truncated) warnings.push("The model does not read all of it.");
  if (!found.is_complete) warnings.push("These numbers are rough.");
  return makeAll("div", "", make("h2", "Why this answer?"),
    make("p", `Each number is what a word adds to the score of: ${about}. ` +
      "Words with + and a solid line speak for it, words with − and a dotted " +
      `line against it. Together they add ${total}.`, "hint"),
    ...texts, ...warnings.map((text) => make("p", text, "hint")));
}

function whyButton(name, values) {
  const button = make("button", "Why this answer?", "quiet small");
  button.type = "button";
  const place = makeAll("div", "buttons", button);
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Explaining …";
    try {
      const answer = await ask(
        `v1/models/${encodeURIComponent(name)}:explain`, {instances: [values]});
      const shown = explanation(answer.explanations[0]);
      const hadFocus = [button, document.body].includes(document.activeElement);
      place.replaceWith(shown);
      const title = shown.firstElementChild;
      title.tabIndex = -1;
      // The button that had the focus is gone.
      if (hadFocus) title.focus();
    } catch (error) {
      place.replaceWith(make("p", error.message, "error"));
    }
  });
  return place;
}

function setBusy(isBusy) {
  byId("send").textContent = isBusy ? "Asking …" : "Ask the model";
  for (const name of ["send", "example"]) byId(name).disabled = isBusy;
}

// What the model answers; of one with an index, the texts that are found.
async function answerOf(name, values) {
  if (models[name].index) {
    const body = {query: values.text, model: name};
    return (await ask("search", body)).results[0];
  }
  const path = `v1/models/${encodeURIComponent(name)}:predict`;
  return (await ask(path, {instances: [values]})).predictions[0];
}

async function send(event) {
  event.preventDefault();
  if (byId("send").disabled) return;
  // If another model is chosen meanwhile, the answer is not shown.
  const name = byId("model").value;
  const showAnswer = SHOW[chosen().page.shown_as];
  const isChosen = () => byId("model").value === name;
  const focused = document.activeElement;
  setBusy(true);
  try {
    const values = typed();
    const answer = await answerOf(name, values);
    const why = chosen().page.explains ? [whyButton(name, values)] : [];
    if (isChosen()) show(...showAnswer(answer, values), ...why);
  } catch (error) {
    if (isChosen()) showError(error.message);
  }
  setBusy(false);
  // A button that is disabled loses the focus.
  if (document.activeElement === document.body) focused.focus();
}

byId("form").addEventListener("submit", send);
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
});
byId("example").addEventListener("click", fillInExample);
byId("model").addEventListener("change", showModel);

function askForKey() {
  byId("key-form").hidden = false;
  byId("form").hidden = true;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  start();
});

const start = () => ask("status").then((status) => {
  byId("key-form").hidden = true;
  byId("form").hidden = false;
  models = status.models;
  byId("model").replaceChildren(
    ...Object.keys(models).map((name) => new Option(name, name)));
  byId("choice").hidden = Object.keys(models).length < 2;
  showModel();
  if (matchMedia("(pointer: fine)").matches) areas()[0].focus();
}).catch((error) => {
  byId("form").hidden = true;
  showError(error.message);
});
start();
