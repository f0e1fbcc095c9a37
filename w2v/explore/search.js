// Finding words as they are typed: what begins with the text, then what holds it, each by frequency.

// Case and accents do not count. Decomposition also turns a Korean syllable into its letters, so that an unfinished
// syllable finds the words that begin with it. Only accents of European scripts are dropped: vowel signs of Indic
// scripts are marks too, and carry the word.
function fold(text) {
  return text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/ς/g, "σ");
}

class WordIndex {
  constructor(words, rows) {
    this.words = words;
    this.rows = rows;
    this.folded = null;
  }

  // Rows of at most limit words: the very word first, then equal ones but for case and accents, beginnings, and parts.
  find(text, limit) {
    const wanted = fold(text.trim());
    if (!wanted) return [];
    this.folded ??= this.words.map(fold);
    const same = [], begins = [], holds = [];
    for (let row = 0; row < this.folded.length && begins.length < limit; row++) {
      const at = this.folded[row].indexOf(wanted);
      if (at === 0) (this.folded[row].length === wanted.length ? same : begins).push(row);
      else if (at > 0 && holds.length < limit) holds.push(row);
    }
    const exact = this.rows.get(text.trim());
    const order = [...(exact === undefined ? [] : [exact]), ...same, ...begins, ...holds];
    return [...new Set(order)].slice(0, limit);
  }

  // The row that text names, or undefined: the very word, else the most frequent that differs by case or accents.
  row(text) {
    const exact = this.rows.get(text.trim());
    if (exact !== undefined) return exact;
    this.folded ??= this.words.map(fold);
    const found = this.folded.indexOf(fold(text.trim()));
    return found < 0 ? undefined : found;
  }
}
