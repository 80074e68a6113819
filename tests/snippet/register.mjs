/**
 * What the proxy keeps, as a model: proxy/register.py in the few rules that a page can notice.
 * tests/snippet/test_register_agrees.py holds the two against each other.
 */
const MAX_AHEAD = 5 * 60 * 1000;

export class Register {
  offers = new Map();
  /** What was received under each id. */
  seen = new Map();
  /** Every message that arrived, oldest first: `{ now, form, result }`. */
  arrivals = [];

  of(offer) {
    return this.offers.get(offer) || { choice: "undecided", seq: 0, purchased: false };
  }

  /** Take *form*, received at *now*; what became of it: stored, replayed or reused. */
  receive(form, now) {
    const result = this.#take(form, now);
    this.arrivals.push({ now, form, result });
    return result;
  }

  #take(form, now) {
    const said = [form.offer, form.choice, form.seq].join();
    if (this.seen.has(form.id)) return this.seen.get(form.id) == said ? "replayed" : "reused";
    this.seen.set(form.id, said);
    this.offers.set(form.offer, bought(chosen(this.of(form.offer), form, now), form));
    return "stored";
  }
}

const chosen = (row, { choice, seq, token, id }, now) => {
  if (!choice || choice == "undecided") return row;
  // A clock that runs too far ahead would otherwise win for ever.
  const counted = Number(seq) > now + MAX_AHEAD ? now : Number(seq);
  // It is right about its own order all the same.
  const order = counted == seq ? [counted, row.seq] : [Number(seq), row.sent];
  if (!wins(row, choice, token, ...order)) return row;
  return { ...row, choice, seq: counted, sent: Number(seq), writer: token, message: id };
};

const wins = (row, choice, writer, seq, last) => {
  if (row.choice == "undecided") return true;
  const accepts = choice == "accepted" && row.choice == "declined";
  // An acceptance under another token is kept, however old it is: no decline may hide a purchase.
  return seq > last || (accepts && (seq == last || writer != row.writer));
};

const bought = (row, { purchased, order }) =>
  purchased ? { ...row, purchased: true, order: row.order || order } : row;
