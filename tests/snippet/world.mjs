/**
 * A customer with several tabs, a bad network and the proxy, and the rules that hold whatever
 * happens. A broken rule ends the step in which it is broken.
 */
import assert from "node:assert/strict";
import { Browser, DAY, MINUTE, SECOND, settled } from "./page.mjs";
import { Register } from "./register.mjs";

const OFFERS = ["OFFER-1", "OFFER-2"];
const BOUGHT = "ORDER-1";
// So far that no seq of a story is ever believed. A clock that is ahead by a little more than the
// proxy believes is in no story: the seq of a straggler may be believed by the time it arrives.
const FAR = DAY;
const LEASE = 30 * SECOND;
const LONGEST_WAIT = 5 * MINUTE;
const MOST_TABS = 4;
const SERVER_START = 1_800_000_000_000;

/** What each storage does: `shared` by all tabs, or the page's own memory when it fails. */
const full = (target) =>
  new Proxy(target, {
    set: () => {
      throw new Error("QuotaExceededError");
    },
  });
const denied = () => {
  throw new Error("SecurityError");
};

/** Dice that fall the same way for the same *seed*. */
const diceOf = (seed) => () => (seed = (seed * 48271 + 11) % 2147483647) / 2147483647;

export class World {
  register = new Register();
  tabs = [];
  /** Every request that left, oldest first; see #leaves. */
  wire = [];
  /** What the customer did: `{ offer, word, at }`. */
  said = [];
  /** For which offer each token is; the first so many are no longer taken. */
  #tokens = [];
  #expired = 0;
  /** By id: the form of its first attempt, when it may leave again, and its latest answer. */
  #first = new Map();
  #earliest = new Map();
  #settled = new Map();
  /** The highest seq of each record so far. */
  #newest = new Map();
  /** What happened is numbered: when the clock was set last, and when a page left, which cuts the
   * lease of whatever is under way, in whichever tab. */
  #moves = 0;
  #clockSet = 0;
  #left = 0;
  #healthy = false;
  #full = false;
  #latency = 0;
  /** The first rule that was broken while a page was running, which would have caught it. */
  #broken;

  constructor(
    file,
    { storage = "shared", offers = 1, keepalive = true, seed = 1, far = false, latency = 50 } = {},
  ) {
    this.browser = new Browser(file);
    Object.assign(this, { kind: storage, keepalive, far });
    this.offers = OFFERS.slice(0, offers);
    this.dice = diceOf(seed + 1);
    this.#latency = latency;
    if (far) this.#setClock(FAR);
    this.open();
  }

  // ---- What may happen --------------------------------------------------------------------------

  /** Do one step; a step for which there is nothing to do is none. */
  async step({ do: name, ...rest }) {
    await this[name](rest);
    await settled();
    this.#check();
  }

  open({ shown } = {}) {
    const first = this.tabs.length == 0;
    if (first || (this.#shared && this.#awake.length < MOST_TABS)) this.#open(shown);
  }

  /** Close a tab, or kill it: then it can not say good-bye. */
  close({ tab: pick, kill }) {
    const tab = this.#tab(pick);
    if (!tab || !this.#shared) return;
    if (!kill) this.#hide(tab);
    tab.page.gone = true;
  }

  reload({ tab }) {
    this.close({ tab });
    this.open();
  }

  /** Go to the back/forward cache and come back. */
  freeze({ tab: pick }) {
    const tab = this.#tab(pick);
    if (!tab) return;
    this.#hide(tab);
    tab.page.frozen = true;
  }

  async thaw({ tab: pick }) {
    const tab = this.#of(this.tabs.filter(({ page }) => page.frozen && !page.gone), pick);
    if (!tab) return;
    tab.page.frozen = false;
    tab.page.fire("pageshow");
    for (const work of tab.late.splice(0)) await work();
  }

  say({ tab: pick, offer, word }) {
    const tab = this.#tab(pick);
    if (!tab) return;
    // Seq is of one storage; where that fails midway, it is the clock that keeps the order.
    if (this.kind == "fills") this.browser.elapsed += 1;
    offer = this.offers[offer % this.offers.length];
    this.said.push({ offer, word, at: this.browser.now });
    tab.page.say(word, word == "purchased" ? { offer, order: BOUGHT } : { offer });
  }

  token({ tab: pick, offer }) {
    const tab = this.#tab(pick);
    if (tab) this.#session(tab, this.offers[offer % this.offers.length]);
  }

  /** From now on the proxy refuses every token that there is. */
  expire() {
    this.#expired = this.#tokens.length;
  }

  pause({ tab: pick, off }) {
    const tab = this.#tab(pick);
    if (!tab) return;
    tab.paused = !off;
    tab.page.say(off ? "resume" : "pause");
  }

  event({ tab, type }) {
    this.#tab(tab)?.page.fire(type);
  }

  pass({ ms }) {
    return this.browser.pass(ms);
  }

  /** Set the clock on the wall to *ahead* of the proxy's; never by so much that its seq is cut. */
  clock({ ahead }) {
    if (this.kind != "fills") this.#setClock(this.far ? FAR : ahead);
  }

  fill() {
    this.#full = true;
  }

  /** A request reaches the proxy; *kept* although the answer says that it failed. */
  arrive({ pick, status, after = 0, kept }) {
    const request = this.#of(this.wire.filter(({ state }) => state == "out"), pick);
    if (request) this.#receive(request, status, after, kept);
    return request;
  }

  answer({ pick }) {
    const request = this.#of(this.wire.filter(({ status, over }) => status && !over), pick);
    if (request) this.#answer(request);
  }

  deliver(step) {
    const request = this.arrive(step);
    if (request && !request.over) this.#answer(request);
  }

  /** The page hears that its request failed, which may arrive all the same. */
  fail({ pick }) {
    const request = this.#of(this.wire.filter((one) => !one.over), pick);
    if (request) this.#answer(request, 0);
  }

  lose({ pick }) {
    const request = this.#of(this.wire.filter(({ state }) => state == "out"), pick);
    if (request) request.state = "lost";
  }

  /** What has arrived arrives once more. */
  again({ pick }) {
    const there = ({ state }) => state == "arrived";
    const request = this.#of(this.wire.filter(there), pick);
    if (request) this.register.receive(request.form, this.#serverNow);
  }

  // ---- How it ends ------------------------------------------------------------------------------

  /** From now on every request arrives and is answered, after the latency. */
  heal() {
    this.#healthy = true;
  }

  /**
   * A healthy network, a fresh page with fresh tokens, and time. *stragglers*: what becomes of the
   * requests that are still under way: "lost", or they arrive "before" all this, or "after" it.
   */
  async end({ stragglers, expired }) {
    const old = this.wire.filter(({ state }) => state == "out");
    if (stragglers == "before") for (const one of old) this.#receive(one, 202);
    if (stragglers == "lost") for (const one of old) one.state = "lost";
    for (const one of this.wire.filter(({ over, pick }) => !over && pick % 2))
      await this.#answer(one, one.status || 0);
    this.heal();
    this.#full = false;
    if (expired) this.expire();
    if (this.kind == "shared" || this.kind == "fills") this.#open();
    if (!this.#shared) await this.#refresh(this.tabs[0]);
    await this.step({ do: "pass", ms: 60 * MINUTE });
    this.#checkEnd();
    for (const one of old) if (one.state == "out") this.#receive(one, 202);
    this.#checkEnd();
  }

  /** A page that stays gets fresh tokens, and may send. */
  async #refresh(tab) {
    if (tab.page.frozen) await this.thaw({});
    tab.paused = false;
    tab.page.say("resume");
    for (const offer of this.offers) this.#session(tab, offer);
  }

  // ---- Tabs and time ----------------------------------------------------------------------------

  #open(shown) {
    const [offer, ...others] = this.offers;
    const tab = { told: 0, tokens: {}, paused: false, late: [] };
    this.tabs.push(tab);
    const data = { token: this.#issue(tab, offer), offer, ...(shown ? {} : { shown: "off" }) };
    const kinds = { denied, full: full({}), fills: this.#filling };
    tab.page = this.browser.open(data, {
      dice: this.dice,
      storage: kinds[this.kind] || this.browser.storage,
      globals: this.keepalive ? {} : { Request: class {} },
      sent: (request) => {
        try {
          this.#leaves(tab, request);
        } catch (error) {
          this.#broken ||= error;
        }
      },
    });
    for (const one of others) this.#session(tab, one);
  }

  get #shared() {
    return this.kind == "shared";
  }

  get #awake() {
    return this.tabs.filter(({ page }) => !page.gone && !page.frozen);
  }

  get #serverNow() {
    return SERVER_START + this.browser.elapsed;
  }

  /** A storage that takes no more from some moment on. */
  get #filling() {
    return new Proxy(this.browser.storage, {
      set: (target, key, text) => {
        if (this.#full) throw new Error("QuotaExceededError");
        target[key] = text;
        return true;
      },
    });
  }

  #tab(pick) {
    return this.#of(this.#awake, pick);
  }

  #of(list, pick = 0) {
    return list[pick % list.length];
  }

  #hide(tab) {
    tab.page.fire("visibilitychange");
    this.#left = ++this.#moves;
    tab.page.fire("pagehide");
  }

  #setClock(ahead) {
    this.browser.now = this.#serverNow + ahead;
    this.#clockSet = ++this.#moves;
    this.#earliest.clear();
  }

  #issue(tab, offer) {
    return (tab.tokens[offer] = `token-${this.#tokens.push(offer)}`);
  }

  #session(tab, offer) {
    tab.page.say("session", { offer, token: this.#issue(tab, offer) });
  }

  #offerOf(token = "") {
    return this.#tokens[token.slice(6) - 1];
  }

  // ---- The network ------------------------------------------------------------------------------

  /** A request leaves: the rules of every attempt. */
  #leaves(tab, { form, beacon = false, answer, fail }) {
    const { offer, choice, id, seq, token, tries } = form;
    const { now } = this.browser;
    assert.ok(!tab.paused, "a request leaves while paused");
    assert.ok(this.#offerOf(token), "a token that nobody minted");
    this.#checkForm(form);
    if (this.#shared) this.#checkStored(form);
    // What could not be written down, the next page can not know.
    if (this.kind != "fills")
      assert.ok(now >= (this.#earliest.get(id) || 0), "sent before Retry-After");
    const open = this.wire.filter((one) => one.tab == tab && one.form.id == id && !one.over);
    for (const one of open) if (this.keepalive) this.#checkLease(one, now);

    this.#newest.set(`${offer} ${choice ? "choice" : "purchased"}`, Number(seq));
    const pick = this.wire.length;
    const request = { tab, form, pick, answer, fail, until: now + LEASE, move: ++this.#moves };
    Object.assign(request, { state: "out", over: beacon });
    this.wire.push(request);
    if (this.#healthy) this.browser.later(this.#latency, () => this.#pass(request));
  }

  #pass(request) {
    if (request.state == "out") this.#receive(request, 202);
    if (!request.over) this.#answer(request);
  }

  /** The same answer is the same form in each attempt, and a new one has a higher seq. */
  #checkForm({ tries, token, ...form }) {
    const key = `${form.offer} ${form.choice ? "choice" : "purchased"}`;
    const known = this.#first.get(form.id);
    if (known) return assert.deepEqual(form, known, "an answer changed between two attempts");
    this.#first.set(form.id, form);
    // Where the storage failed midway, an older record in it is sent by the next page.
    if (this.kind != "fills")
      assert.ok(Number(form.seq) > (this.#newest.get(key) || 0), "seq does not grow");
  }

  #checkStored({ offer, choice, id, tries }) {
    const record = this.browser.record(offer, choice ? "choice" : "purchased");
    const stored = [record?.form.id, String(record?.form.tries)];
    assert.deepEqual(stored, [id, tries], "sent before it was stored");
  }

  /** One page has one request for each answer under way, unless the answer's lease was cut. */
  #checkLease({ form, until, move }, now) {
    const cut = Math.max(this.#left, this.#clockSet, this.#settled.get(form.id) || 0);
    assert.ok(now >= until || cut > move, "in flight twice within the lease");
  }

  #receive(request, status, after, kept = false) {
    const { form } = request;
    const refusal = this.#refusal(form);
    Object.assign(request, { state: "arrived", status: refusal || status, after });
    if (refusal || (status != 202 && !kept)) return;
    this.#checkSaid(form);
    const result = this.register.receive(form, this.#serverNow);
    assert.notEqual(result, "reused", "one id for two answers");
  }

  #refusal({ offer, token }) {
    if (token.slice(6) <= this.#expired) return 401;
    return this.#offerOf(token) != offer && 403;
  }

  #isLast({ id, tries }) {
    return this.wire.every(({ form }) => form.id != id || Number(form.tries) <= Number(tries));
  }

  /** The answer reaches the page, if it is still there. */
  #answer(request, status = request.status) {
    const { tab, form, after } = request;
    request.over = true;
    const work = () => {
      this.#settled.set(form.id, ++this.#moves);
      const asked = status == 429 ? Math.min(after * SECOND, LONGEST_WAIT) : 0;
      // Of an earlier attempt only the success counts.
      if (this.#isLast(form)) this.#earliest.set(form.id, this.browser.now + asked);
      if (!status) return request.fail();
      return request.answer(status, status == 429 ? { "Retry-After": String(after) } : {});
    };
    if (tab.page.frozen) tab.late.push(work);
    return tab.page.frozen || tab.page.gone ? undefined : work();
  }

  // ---- What must be true ------------------------------------------------------------------------

  /** Nothing is invented: the customer did just this, just then. */
  #checkSaid({ offer, choice = "purchased", at, order }) {
    if (choice == "undecided") return;
    const found = this.said.some(
      (one) => one.offer == offer && one.word == choice && one.at == Number(at),
    );
    assert.ok(found, `nobody said ${choice}`);
    assert.equal(order, choice == "purchased" ? BOUGHT : undefined);
  }

  /** No tab heard of an error, and what a tab calls sent was received. */
  #check() {
    if (this.#broken) throw this.#broken;
    for (const tab of this.tabs) {
      for (const [type, detail] of tab.page.told.slice(tab.told)) {
        const why = `${type}: ${detail?.message ?? detail}`;
        assert.ok(["recorded", "sent", "retry"].includes(type), why);
        if (type == "sent") assert.ok(this.register.seen.has(detail.id), "sent, and not received");
      }
      tab.told = tab.page.told.length;
    }
  }

  #checkEnd() {
    for (const offer of this.offers) this.#checkOffer(offer);
    if (!this.#shared) for (const offer of this.offers) this.#checkMemory(offer);
    for (const [key, text] of Object.entries(this.browser.storage)) {
      const { form, done } = JSON.parse(text);
      assert.equal(done, 202, `${key} is not done`);
      assert.ok(this.register.seen.has(form.id), `${key} is done, and not received`);
      assert.equal("token" in form, false, `${key} keeps its token`);
    }
    for (const { page } of this.#awake) assert.equal(page.timers.size, 0, "a timer remains");
  }

  #checkMemory(offer) {
    const told = this.tabs[0].page.say("status", { offer });
    if (told) assert.equal(told.status, 202, `${offer} is not done`);
  }

  #checkOffer(offer) {
    const mine = this.said.filter((one) => one.offer == offer);
    const last = mine.findLast(({ word }) => word != "purchased")?.word || "undecided";
    const row = this.register.of(offer);
    const bought = mine.some(({ word }) => word == "purchased");
    assert.deepEqual([row.purchased, row.order], bought ? [true, BOUGHT] : [false, undefined]);
    if (row.choice != last) this.#checkKept(row, last);
  }

  /** The proxy drops no acceptance of another token, even one that a decline has overtaken. */
  #checkKept(row, last) {
    const { arrivals } = this.register;
    const late = arrivals.findIndex(({ form }) => form.id == row.message);
    const { seq } = arrivals[late]?.form || {};
    const newer = ({ form }) => form.choice == "declined" && Number(form.seq) > Number(seq);
    const overtaken = arrivals
      .slice(0, late)
      .some((one) => newer(one) && one.form.token != row.writer);
    const kept = row.choice == "accepted" && last == "declined" && overtaken;
    assert.ok(kept, `the register holds ${row.choice}, the customer said ${last}`);
  }
}
