// Puts the page together: theme, address, keys, and what follows from a choice.

// Colours of what is drawn rather than styled: read from the style sheet, so that they are decided in one place.
const theme = {
  read() {
    const probe = document.body.appendChild(element("span", "hidden"));
    const colour = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const bytes = (name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number);
    this.colours = {
      points: { rare: bytes("rare"), frequent: bytes("frequent") },
      label: colour("ink"), halo: colour("paper"), chosen: colour("chosen"), chosenLabel: colour("chosen-ink"),
      plate: colour("ink"), plateText: colour("paper"), strength: 0.85, dimmed: 0.42,
    };
    probe.remove();
  },
};

function start() {
  const data = readData();
  document.getElementById("title").textContent = data.title;
  document.documentElement.dataset.models = data.models.length;
  const index = new WordIndex(data.words, data.rows);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const maps = [];
  let state = { row: -1, analogy: null, depth: 0 };
  let lists = [], answers = []; // for each model: the neighbours of the word, the answers of the analogy

  // --- the theme: the reader's system decides until the button does ---

  function applyTheme(choice) {
    if (choice) document.documentElement.dataset.theme = choice;
    const isDark = choice ? choice === "dark" : dark.matches;
    document.getElementById("theme").setAttribute("aria-pressed", String(isDark));
    theme.read();
    maps.forEach((map) => map.redraw(true));
    return isDark;
  }

  function stored(choice) {
    try {
      if (choice) localStorage.setItem("w2v-theme", choice);
      return localStorage.getItem("w2v-theme");
    } catch {
      return null; // a browser that keeps nothing for files
    }
  }

  dark.addEventListener("change", () => applyTheme(stored()));
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = document.getElementById("theme").getAttribute("aria-pressed") === "true";
    stored(isDark ? "light" : "dark");
    applyTheme(isDark ? "light" : "dark");
  });
  applyTheme(stored());

  // --- what is chosen, and the address that says so ---

  function address({ row, analogy }) {
    const parts = new URLSearchParams();
    if (row >= 0) parts.set("word", data.words[row]);
    if (analogy) ["a", "b", "c"].forEach((name, i) => parts.set(name, data.words[analogy[i]]));
    return `#${parts}`;
  }

  function read() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const row = (name) => data.rows.get(parts.get(name) ?? undefined) ?? -1;
    const analogy = ["a", "b", "c"].map(row);
    const named = ["word", "a", "b", "c"].some((name) => parts.has(name));
    return { row: named ? row("word") : bareWord(), analogy: analogy.every((r) => r >= 0) ? analogy : null };
  }

  // The row of the word that is the whole of an address such as page.html#king; -1 where there is none.
  function bareWord() {
    if (location.hash.length < 2) return -1;
    try {
      return data.rows.get(decodeURIComponent(location.hash.slice(1))) ?? -1;
    } catch {
      return -1; // no encoding of a text
    }
  }

  function change(next, options = {}) {
    const before = address(state);
    state = { ...state, ...next };
    if (address(state) !== before) {
      state.depth++;
      history.pushState({ depth: state.depth }, "", address(state));
    }
    show(options);
  }

  // tab: which tab to open. fly: whether the map goes to the word even where it is seen.
  function show({ tab, fly }) {
    const { row, analogy } = state;
    lists = data.models.map((model) => (row < 0 ? [] : model.neighbours(row, data.neighbours)));
    answers = analogy ? data.models.map((model) => model.analogy(...analogy, 10)) : [];
    if (row < 0) panel.showNothing();
    else panel.showWord(row, lists, state.depth > 0);
    if (analogy) panel.showAnalogy(analogy, answers);
    if (tab && tab !== panel.tabs.current) panel.tabs.open(tab); // which joins the words on the maps
    else join();
    maps.forEach((map) => map.choice && (fly || !map.sees(map.choice.rows[0])) && map.show());
  }

  // Joins words on the maps: the analogy where that is read, else the chosen word and its neighbours.
  function join() {
    maps.forEach((map, i) => {
      if (panel.tabs.current === "analogy" && state.analogy && answers[i].length) {
        const [a, b, c] = state.analogy, { row } = answers[i][0];
        map.choose({ rows: [row, c, b, a], links: [[a, b, 1], [c, row, 1]] });
      } else if (state.row >= 0) {
        const links = lists[i].map(({ row, cosine }) => [state.row, row, cosine]);
        map.choose({ rows: [state.row, ...lists[i].map(({ row }) => row)], links });
      } else map.choose(null);
    });
  }

  function select(row, fly = false) {
    change({ row }, { tab: "word", fly });
    panel.panel.scrollTop = 0;
  }

  function clear() {
    if (state.row < 0) return;
    change({ row: -1 });
    announce("Nothing chosen.");
  }

  function hover(row) {
    maps.forEach((map) => map.hover(row));
  }

  function ask(...analogy) {
    change({ analogy }, { tab: "analogy", fly: true });
  }

  window.addEventListener("popstate", (event) => {
    state = { ...read(), depth: event.state?.depth ?? 0 };
    show({ tab: state.analogy && state.row < 0 ? "analogy" : "word", fly: true });
  });

  // --- the parts ---

  const turn = () => maps.length && join(); // the first tab is open before there are maps
  const panel = new Panel(data, index, { select: (row) => select(row, true), hover, ask, turn });
  const letters = data.models.length > 1 ? LETTERS : [null];
  data.models.forEach((model, i) => {
    const actions = { hover, select: (row) => select(row) };
    maps.push(new MapView(document.getElementById("maps"), model, data.words, letters[i], actions));
  });

  const search = document.getElementById("search");
  new Combobox(search, {
    find: (text) => index.find(text, 40),
    show: (row) => [data.words[row], `#${number(data.models[0].ranks[row])}`],
    choose: (row) => {
      search.value = "";
      select(row, true);
    },
    nothing: (text) => missing(text, data),
  });

  const click = (id, act) => document.getElementById(id).addEventListener("click", act);
  click("back", () => history.back());
  click("centre", () => maps.forEach((map) => map.show()));
  click("clear", clear);
  click("help", () => document.getElementById("keys").showModal());

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("keys").open) return;
    if (event.target.closest("input:not([type=radio])")) return;
    const here = maps.filter((map) => map.host.contains(document.activeElement));
    const zoom = (factor) => (here.length ? here : maps).forEach((map) => map.zoomBy(factor));
    const nearer = () => zoom(1.6), farther = () => zoom(1 / 1.6);
    const acts = {
      "/": () => search.focus(), "?": () => document.getElementById("keys").showModal(), Escape: clear,
      "+": nearer, "=": nearer, "-": farther, "−": farther, _: farther,
      0: () => (here.length ? here : maps).forEach((map) => map.fit()),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  });

  Object.assign(state, read());
  history.replaceState({ depth: 0 }, "");
  if (state.row >= 0 || state.analogy) show({ tab: state.row >= 0 ? "word" : "analogy", fly: true });

  // For scripts that drive the page: where a word lies in the window, and the maps themselves.
  window.explorer = {
    maps,
    ready: () => maps.every((map) => map.labels.done && !map.flight && !map.frame),
    where(word, i = 0) {
      const box = maps[i].overlay.getBoundingClientRect(), [x, y] = maps[i].where(data.rows.get(word));
      return [box.left + x, box.top + y];
    },
  };
}

start();
