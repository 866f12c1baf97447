// What goes wrong in a way a person can be told: `word` names a sentence in words.js.

export class Trouble extends Error {
  constructor(word, detail = "") {
    super(detail);
    this.word = word;
  }
}
