// What is written beside the map: a word's neighbours, analogies, where two models differ, and what the page is.
// Words come from strangers: they enter the document as text nodes only, each in an element of its own direction.

const LETTERS = ["A", "B"];
const EXAMPLES = [
  ["man", "king", "woman"], ["france", "paris", "italy"], ["big", "bigger", "small"], ["he", "his", "she"],
  ["남자", "왕", "여자"], ["한국", "서울", "일본"], ["walking", "walked", "swimming"], ["homme", "roi", "femme"],
];

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function wordElement(word, className = "word") {
  const made = element("bdi", className, word);
  made.dir = "auto";
  return made;
}

function badge(letter) {
  return element("span", `badge badge-${letter.toLowerCase()}`, letter);
}

const number = (value) => value.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const decimals = (cosine) => cosine.toFixed(2).replace("-", "−");
// A word within a sentence that is spoken or set as one text: its direction must not turn the rest.
const isolated = (word) => `\u2068${word}\u2069`;

function announce(text) {
  document.getElementById("status").textContent = text;
}

class Tabs {
  constructor(list, names, changed) {
    this.buttons = names.map(([name, text]) => {
      const button = element("button", "tab", text), view = document.getElementById(`view-${name}`);
      Object.assign(button, { type: "button", id: `tab-${name}` });
      Object.entries({ role: "tab", "aria-controls": view.id }).forEach((pair) => button.setAttribute(...pair));
      view.setAttribute("aria-labelledby", button.id);
      view.tabIndex = -1;
      button.addEventListener("click", () => this.open(name));
      return button;
    });
    this.names = names.map(([name]) => name);
    this.changed = changed;
    list.append(...this.buttons);
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = this.names.indexOf(this.current) + step + this.names.length;
      this.open(this.names[at % this.names.length]);
      this.buttons[at % this.names.length].focus();
    });
    this.open(this.names[0]);
  }

  open(name) {
    this.current = name;
    this.names.forEach((other, i) => {
      this.buttons[i].setAttribute("aria-selected", String(other === name));
      this.buttons[i].tabIndex = other === name ? 0 : -1;
      document.getElementById(`view-${other}`).hidden = other !== name;
    });
    this.changed(name);
  }
}

class Panel {
  // actions: select(row), hover(row or -1), ask(a, b, c), turn() when another tab is open.
  constructor(data, index, actions) {
    Object.assign(this, { data, index, actions });
    this.panel = document.getElementById("panel");
    this.double = data.models.length > 1;
    const names = [["word", "Word"], ["analogy", "Analogy"], ["about", "About"]];
    if (this.double) names.splice(2, 0, ["differences", "Differences"]);
    this.tabs = new Tabs(this.panel.querySelector("[role=tablist]"), names, () => {
      this.panel.scrollTop = 0;
      actions.turn();
    });
    this.suggest();
    this.buildAnalogy();
    this.buildAbout();
    if (this.double) this.buildDifferences();
  }

  get(id) {
    return document.getElementById(id);
  }

  chip(parts, act) {
    const item = element("li"), button = element("button", "chip");
    button.type = "button";
    parts.forEach((part) => button.append(part));
    button.addEventListener("click", act);
    item.append(button);
    return item;
  }

  suggest() {
    // Neither the commonest words, which say little, nor the rare ones: every so many ranks a word of some length.
    const rows = [];
    for (const share of [0.02, 0.03, 0.04, 0.055, 0.07, 0.09, 0.12, 0.15, 0.2, 0.3]) {
      const start = Math.min(this.data.words.length - 1, Math.floor(share * this.data.words.length));
      const long = (word) => /^\p{L}{5,12}$/u.test(word) || /^[\p{Script=Hangul}\p{Script=Han}]{2,6}$/u.test(word);
      let row = start;
      while (row < start + 40 && row < this.data.words.length - 1 && !long(this.data.words[row])) row++;
      if (!rows.includes(row)) rows.push(row);
    }
    const chips = rows.map((row) => this.chip([wordElement(this.data.words[row])], () => this.actions.select(row)));
    this.get("suggestions").replaceChildren(...chips);
  }

  // --- a word ---

  // lists: for each model [{row, cosine}].
  showWord(row, lists, hasBack) {
    const { data } = this, word = data.words[row];
    this.get("empty").hidden = true;
    this.get("entry").hidden = false;
    this.get("word").textContent = word;
    this.get("word").title = word;
    this.get("back").disabled = !hasBack;
    this.get("facts").replaceChildren(...this.facts(row));
    const sets = lists.map((list) => new Map(list.map((found, i) => [found.row, i + 1])));
    const columns = lists.map((list, i) => this.column(i, list, sets[1 - i]));
    this.get("neighbours").replaceChildren(...columns);
    if (this.double) this.showOverlap(sets);
    const nearest = lists[0].slice(0, 3).map((found) => isolated(data.words[found.row])).join(", ");
    announce(`${isolated(word)} chosen. Nearest: ${nearest}.`);
  }

  showNothing() {
    this.get("empty").hidden = false;
    this.get("entry").hidden = true;
  }

  facts(row) {
    return this.data.models.map((model, i) => {
      const line = element("span", "fact");
      if (this.double) line.append(badge(LETTERS[i]));
      const parts = [`#${number(model.ranks[row])} of ${number(model.record.total)} by frequency`];
      const count = model.counts?.[row];
      if (count !== undefined) parts.push(`${number(count)} ${count === 1 ? "time" : "times"} in the text`);
      line.append(parts.join(" · "));
      return line;
    });
  }

  // The list of one model; places: rank by row in the other model's list, where there are two.
  column(i, list, places) {
    const column = element("section", "column"), model = this.data.models[i];
    const heading = element("h3", "", this.double ? "" : "Nearest neighbours");
    if (this.double) heading.append(badge(LETTERS[i]), element("span", "", model.name));
    const items = element("ol", "list");
    list.forEach((found) => items.append(this.neighbour(found, places, i)));
    column.append(heading, items);
    return column;
  }

  neighbour({ row, cosine }, places, i) {
    const item = element("li"), button = element("button", "neighbour");
    button.type = "button";
    button.dataset.row = row;
    const bar = element("span", "bar");
    bar.style.setProperty("--length", Math.max(0, Math.min(1, cosine)));
    button.append(wordElement(this.data.words[row]), element("span", "value", decimals(cosine)), bar);
    if (this.double && places) {
      const place = places.get(row), only = place === undefined;
      button.classList.toggle("only", only);
      const note = only ? `◆ only in ${LETTERS[i]}` : `also ${ordinal(place)} in ${LETTERS[1 - i]}`;
      button.append(element("span", "note", note));
    } else if (!this.double) {
      button.append(element("span", "note", `#${number(this.data.models[0].ranks[row])}`));
    }
    button.addEventListener("click", () => this.actions.select(row));
    for (const [name, target] of [["pointerenter", row], ["focus", row], ["pointerleave", -1], ["blur", -1]]) {
      button.addEventListener(name, () => this.actions.hover(target));
    }
    item.append(button);
    return item;
  }

  showOverlap(sets) {
    const both = [...sets[0].keys()].filter((row) => sets[1].has(row)).length, all = this.data.neighbours;
    const box = this.get("overlap"), line = element("p");
    line.append(element("strong", "", `${both} of ${all}`), " nearest neighbours are the same");
    const bar = element("div", "venn");
    bar.setAttribute("aria-hidden", "true");
    for (const [name, count] of [["a", all - both], ["both", both], ["b", all - both]]) {
      if (!count) continue;
      const part = element("span", `part-${name}`, String(count));
      part.style.flexGrow = count;
      bar.append(part);
    }
    box.replaceChildren(line, bar);
    box.hidden = false;
  }

  // --- analogies ---

  buildAnalogy() {
    const { data, index } = this;
    this.fields = ["a", "b", "c"].map((name) => this.get(`analogy-${name}`));
    this.fields.forEach((input, i) => {
      new Combobox(input, {
        find: (text) => index.find(text, 8),
        show: (row) => [data.words[row], `#${number(data.models[0].ranks[row])}`],
        choose: (row) => {
          input.value = data.words[row];
          (this.fields[i + 1] ?? this.get("analogy").querySelector("button")).focus();
        },
        nothing: (text) => missing(text, data),
      });
    });
    this.get("analogy").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submitAnalogy();
    });
    const known = EXAMPLES.filter((words) => words.every((word) => data.rows.has(word))).slice(0, 4);
    const chips = known.map((words) =>
      this.chip([words[0], " : ", words[1], " = ", words[2], " : ?"], () => {
        this.fields.forEach((input, i) => (input.value = words[i]));
        this.submitAnalogy();
      }),
    );
    this.get("examples").replaceChildren(...chips);
    if (known.length) this.fields.forEach((input, i) => (input.placeholder = known[0][i]));
  }

  submitAnalogy() {
    const rows = this.fields.map((input) => this.index.row(input.value));
    const wrong = rows.indexOf(undefined);
    this.fields.forEach((input, i) => input.setAttribute("aria-invalid", String(rows[i] === undefined)));
    const text = wrong >= 0 ? this.fields[wrong].value.trim() : "";
    this.get("analogy-error").textContent = wrong < 0 ? "" : text ? missing(text, this.data) : "Three words are needed.";
    if (wrong < 0) this.actions.ask(...rows);
    else this.fields[wrong].focus();
  }

  showAnalogy([a, b, c], lists) {
    const words = this.data.words;
    [a, b, c].forEach((row, i) => {
      this.fields[i].value = words[row];
      this.fields[i].setAttribute("aria-invalid", "false");
    });
    this.get("analogy-error").textContent = "";
    const sets = lists.map((list) => new Map(list.map((found, i) => [found.row, i + 1])));
    this.get("answers").replaceChildren(...lists.map((list, i) => {
      const column = this.column(i, list, sets[1 - i]);
      if (!this.double) column.querySelector("h3").textContent = "Answers";
      return column;
    }));
    if (!lists[0].length) {
      this.get("analogy-error").textContent = "There is no other word on this page.";
      return;
    }
    const said = lists.map((list) => isolated(words[list[0].row])).join(" and ");
    announce(`${isolated(words[a])} is to ${isolated(words[b])} as ${isolated(words[c])} is to ${said}.`);
  }

  // --- where two models differ ---

  buildDifferences() {
    const { data } = this, shared = data.shared, all = data.neighbours;
    const mean = shared.reduce((sum, value) => sum + value, 0) / shared.length;
    this.get("agreement").replaceChildren(
      "On average the models share ", element("strong", "", `${mean.toFixed(1)} of ${all}`),
      ` nearest neighbours of a word, over the ${number(shared.length)} most frequent.`,
    );
    const counts = new Array(all + 1).fill(0);
    for (const value of shared) counts[value]++;
    const most = Math.max(...counts);
    const histogram = this.get("histogram");
    histogram.replaceChildren(...counts.map((count, i) => {
      const bar = element("span");
      bar.style.setProperty("--length", count / most);
      bar.title = `${number(count)} words share ${i} of ${all}`;
      return bar;
    }));
    histogram.setAttribute("aria-label", `How many words share how many neighbours: ${number(counts[0])} share none.`);
    for (const radio of document.querySelectorAll("input[name=order]")) {
      radio.addEventListener("change", () => this.listDifferences(radio.value));
    }
    this.listDifferences("differ");
  }

  listDifferences(order) {
    const { data } = this, sign = order === "differ" ? 1 : -1;
    const rows = Array.from(data.shared.keys()).sort((a, b) => sign * (data.shared[a] - data.shared[b]) || a - b);
    this.get("differences").replaceChildren(...rows.slice(0, 100).map((row) => {
      const item = element("li"), button = element("button", "neighbour");
      button.type = "button";
      button.dataset.row = row;
      const bar = element("span", "bar");
      bar.style.setProperty("--length", data.shared[row] / data.neighbours);
      button.append(
        wordElement(data.words[row]), element("span", "value", `${data.shared[row]} of ${data.neighbours}`), bar,
      );
      button.addEventListener("click", () => this.actions.select(row, true));
      item.append(button);
      return item;
    }));
  }

  // --- what the page is ---

  buildAbout() {
    const { data } = this, lines = [];
    data.models.forEach((model, i) => {
      const { total, dimensions, explained, largestError, agreement } = model.record;
      const heading = element("h3");
      if (this.double) heading.append(badge(LETTERS[i]));
      heading.append(element("span", "", model.name));
      const axes = explained === null ? "" : ` Its two axes hold ${percent(explained)} of the variance.`;
      lines.push(
        heading,
        element("p", "", `${number(data.words.length)} of ${number(total)} words are here, in ${dimensions} dimensions. ` +
          `The map is made by ${data.projection}.${axes} What lies near on the map is a hint; neighbours and analogies ` +
          "are found in all dimensions, among the words of this page."),
        element("p", "", "Vectors are kept in 8 bits a number. Measured on " +
          `${number(Math.min(256, data.words.length))} words: ` +
          `of a word's ten nearest, ${percent(agreement)} are the exact ones, and no cosine is off by more than ` +
          `${largestError.toFixed(4)}.`),
      );
    });
    if (this.double) {
      lines.push(element("p", "", `The words are the most frequent of ${data.models[0].name} that both models know. ` +
        `The map of ${data.models[1].name} is turned and scaled to lie as near to the other as it can.`));
    }
    lines.push(element("p", "", "Larger and stronger points are more frequent words. This page asks nothing of any " +
      "network: everything it shows is in the file, and nothing that is typed leaves it."));
    this.get("view-about").replaceChildren(...lines);
  }
}

function ordinal(place) {
  const last = place % 10, teens = Math.floor((place % 100) / 10) === 1;
  return place + (teens ? "th" : ["th", "st", "nd", "rd"][last] ?? "th");
}

function missing(text, data) {
  const short = Array.from(text).slice(0, 40).join("");
  return `“${isolated(short)}” is not among the ${number(data.words.length)} words of this page.`;
}
