// A text field with a list of completions, after the combobox pattern of the ARIA Authoring Practices.

class Combobox {
  // input: in an element of class "combobox". find(text): rows to offer. show(row): [word, note] of an option.
  // choose(row): a word was taken. nothing(text): what to say where no word fits.
  constructor(input, { find, show, choose, nothing = () => "" }) {
    Object.assign(this, { input, find, show, choose, nothing, rows: [], active: -1 });
    this.list = document.createElement("ul");
    this.list.className = "options";
    this.list.id = `${input.id}-options`;
    this.list.hidden = true;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Words");
    input.closest(".combobox").append(this.list);
    const attributes = {
      role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id,
    };
    for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
    input.addEventListener("input", () => this.offer());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.row));
    });
  }

  offer() {
    this.rows = this.find(this.input.value);
    this.active = -1;
    const blank = this.rows.length || !this.input.value.trim();
    this.list.replaceChildren(...(blank ? this.rows.map((row, i) => this.option(row, i)) : [this.message()]));
    this.list.scrollTop = 0;
    this.open(this.list.children.length > 0);
    announce(blank ? `${this.rows.length} words` : this.list.textContent);
  }

  option(row, i) {
    const option = document.createElement("li"), [word, note] = this.show(row);
    option.id = `${this.list.id}-${i}`;
    option.dataset.row = row;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.append(wordElement(word), element("span", "note", note));
    return option;
  }

  message() {
    const line = element("li", "nothing", this.nothing(this.input.value.trim()));
    line.setAttribute("role", "presentation");
    return line;
  }

  open(shown) {
    this.list.hidden = !shown;
    this.input.setAttribute("aria-expanded", String(shown && this.rows.length > 0));
    this.mark(-1);
  }

  close() {
    this.open(false);
  }

  mark(position) {
    this.active = position;
    for (const [i, option] of [...this.list.querySelectorAll("[role=option]")].entries()) {
      option.setAttribute("aria-selected", String(i === position));
      if (i === position) option.scrollIntoView({ block: "nearest" });
    }
    if (position < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `${this.list.id}-${position}`);
  }

  key(event) {
    if (event.isComposing) return; // the keys belong to the input method
    const last = this.rows.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.offer();
      else if (event.key === "ArrowDown") this.mark(this.active >= last ? 0 : this.active + 1);
      else this.mark(this.active <= 0 ? last : this.active - 1);
    } else if (event.key === "Enter" && !this.list.hidden && this.rows.length) {
      event.preventDefault();
      this.take(this.rows[Math.max(0, this.active)]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (!this.list.hidden) this.close();
      else if (this.input.value) this.input.value = "";
      else this.input.blur();
    }
  }

  take(row) {
    this.close();
    this.choose(row);
  }
}
