// @ts-check
/*
 * The snippet of optout-proxy: tells the shop's proxy what a customer chose.
 *
 * A register, not a stream of events: for each offer the browser keeps one record, the latest
 * answer, and states it until the proxy has acknowledged it. Double clicks, re-rendered pages,
 * tabs, retries and changed minds all end in the same place.
 *
 * It prevents, stops and delays nothing that the page does, and adds nothing to it.
 */

/**
 * What goes over the wire, field by field.
 * @typedef {object} Form
 * @property {string} offer
 * @property {string} [choice] undecided, declined or accepted; absent when a purchase is told
 * @property {1} [purchased]
 * @property {string} [order]
 * @property {string} id one for each answer, the same in every attempt
 * @property {number} seq ms; a clock that never runs backwards: the highest one wins
 * @property {number} at ms; when the customer answered
 * @property {number} tries
 * @property {string} [token] here until the answer is acknowledged, and no longer
 */

/**
 * What the browser keeps: one for each offer, and one for its purchase.
 * @typedef {object} Entry
 * @property {Form} form
 * @property {number} [held] ms; nobody sends before: a request is out, or the proxy said when
 * @property {number} [due] ms; our own backoff, which a new page or connection cuts short;
 *   0 while a request is out
 * @property {number} [done] the HTTP status that ended it
 */

/**
 * The data-* of the tag, and what `offerChoice("session", …)` says later.
 * @typedef {Record<string, string | null | undefined>} Settings
 */

(() => {
  const PREFIX = "offerChoice:";
  const ANSWERS = ["declined", "accepted"];
  const FINAL = [400, 405, 410, 411, 413, 415, 422]; // openapi.yaml: such a request never succeeds
  const LEASE = 1e4;
  const SHORT_LEASE = 2e3;
  const LONGEST_WAIT = 3e5;
  const WEEK = 6048e5; // Safari keeps what scripts stored no longer (webkit.org/blog/10218)

  const page = /** @type {any} */ (window);
  // null in a module, whose page says `offerChoice("session", …)` instead
  const tag = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  /** @type {Settings} */
  const settings = { endpoint: tag?.src.split("/", 3).join("/"), ...tag?.dataset };
  /** The newest token that this page has for each offer. @type {Settings} */
  const tokens = {};
  let paused = false;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;

  // ---- Telling the page -------------------------------------------------------------------------

  /** @param {string} type @param {unknown} detail */
  const tell = (type, detail) => dispatchEvent(new CustomEvent("choice:" + type, { detail }));

  /** What the page may see of a record: all but the token. @param {Entry} entry */
  const view = ({ form: { token, ...form }, done }, status = done) => ({ ...form, status });

  /**
   * Whatever goes wrong in here, the checkout goes on.
   * @template {any[]} T @template R @param {(...args: T) => R} work
   */
  const guard =
    (work) =>
    (/** @type {T} */ ...args) => {
      try {
        return work(...args);
      } catch (error) {
        tell("error", error);
      }
    };

  /**
   * Listen on the window while capturing: before the page can stop the event or remove its node.
   * @param {string} types @param {(event: any) => void} work
   */
  const on = (types, work) =>
    types.split(" ").map((type) => addEventListener(type, guard(work), true));

  // ---- The record -------------------------------------------------------------------------------

  /** The browser's storage; where that is denied or full, this page's memory. */
  let store = /** @type {Settings} */ ({});
  try {
    store = localStorage || store;
  } catch {}

  /** @param {string} key @returns {Entry | undefined} */
  const read = (key) => {
    try {
      return JSON.parse(/** @type {string} */ (store[key]));
    } catch {}
  };

  /** @param {string} key @param {Entry} entry */
  const write = (key, entry) => {
    const text = JSON.stringify(entry);
    try {
      store[key] = text;
    } catch {
      store = { [key]: text };
    }
  };

  // crypto.randomUUID is missing before Safari 15.4; the address of a blob ends in such an id too.
  const uuid = () => crypto.randomUUID?.() || URL.createObjectURL(new Blob()).slice(-36);

  /**
   * Store what the customer did, then send it; the same answer again is no news.
   * @param {string} choice @param {Settings} [where]
   */
  const say = (choice, { offer = settings.offer, token, order } = {}) => {
    if (!offer) throw "no offer";
    tokens[offer] = token = token || tokens[offer] || settings.token;
    const field = choice == "purchased" ? choice : "choice";
    const value = choice == field ? 1 : choice;
    const key = PREFIX + field + offer;
    const old = /** @type {any} */ (read(key));
    const news =
      choice == "undecided"
        ? !old && settings.shown != "off"
        : !old || old.done > 299 || old.form[field] != value || old.form.order != order;
    if (news) {
      const at = Date.now();
      const seq = Math.max(at, old?.form.seq + 1 || 0);
      const form = { offer, [field]: value, order, id: uuid(), seq, at, tries: 0, token };
      const entry = { form: /** @type {Form} */ (form) };
      write(key, entry);
      tell("recorded", view(entry));
    }
    flush();
  };

  // ---- Sending ----------------------------------------------------------------------------------

  // Firefox before 133 drops a fetch when the page goes (MDN, Request.keepalive).
  const KEEPALIVE = "keepalive" in Request.prototype;

  /** Send what is due; with *force* also what only waits for our own backoff. */
  const flush = (force = false, leaving = false) => {
    clearTimeout(timer);
    if (paused) return;
    let wait = Infinity;
    // Guarded one by one: a spoiled record holds up no other.
    for (const key in store) wait = Math.min(wait, guard(deliver)(key, force, leaving) || wait);
    // Not at the same moment as the other tabs: the first one takes the lease.
    if (wait < Infinity) timer = setTimeout(flush, wait + Math.random() * 300);
  };

  /**
   * Make one attempt if it is time for it; return the ms until the next look.
   * @param {string} key @param {boolean} force @param {boolean} leaving
   */
  const deliver = (key, force, leaving) => {
    const entry = key.startsWith(PREFIX) && read(key);
    if (!entry) return;
    const { form } = entry;
    const now = Date.now();
    if (now - form.at > WEEK) {
      delete store[key];
      if (!entry.done) tell("expired", view(entry));
      return;
    }
    form.token = tokens[form.offer] || form.token;
    if (entry.done || !form.token || !settings.endpoint) return;

    // A time further off than any wait of ours was written before the clock was set back.
    const until = (time = 0) => (time - now > LONGEST_WAIT ? 0 : time - now);
    const wait = Math.max(until(entry.held), force ? 0 : until(entry.due));
    if (wait > 0) {
      if (leaving && !entry.due) {
        // It outlives the page, but nobody will read the answer: the next page asks again soon.
        entry.held = now + Math.min(wait, SHORT_LEASE);
        write(key, entry);
      }
      return wait;
    }
    form.tries = Math.min(form.tries + 1, 999);
    const lease = leaving ? SHORT_LEASE : Math.min(LEASE * form.tries, LONGEST_WAIT);
    entry.due = 0;
    entry[KEEPALIVE || leaving ? "held" : "due"] = now + lease;
    write(key, entry);
    post(key, form, leaving);
    return lease;
  };

  /** @param {string} key @param {Form} form @param {boolean} leaving */
  const post = (key, form, leaving) => {
    const url = settings.endpoint + "/v1/choices";
    // A form needs no preflight, for which a closing page would not wait.
    const body = new URLSearchParams(/** @type {any} */ (form));
    // Async, so that what a patched fetch throws is a failed attempt too.
    const send = async () =>
      fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" });
    // A beacon is the last resort: it can not tell whether it arrived.
    const failed = () => (leaving ? navigator.sendBeacon?.(url, body) : settle(key, form.id, {}));
    if (leaving && !KEEPALIVE) failed();
    else send().then((answer) => settle(key, form.id, answer), failed);
  };

  /**
   * Write down how an attempt ended, unless the customer has changed their mind meanwhile.
   * @param {string} key @param {string} id @param {Partial<Response>} answer
   */
  const settle = (key, id, { ok, status = 0, headers }) => {
    const entry = read(key);
    if (entry?.form.id !== id || entry.done) return;
    const { form } = entry;
    const over = ok || FINAL.includes(status);
    const asked = 1e3 * /** @type {any} */ (headers?.get("Retry-After")) || 0;
    entry.held = Date.now() + Math.min(asked, LONGEST_WAIT);
    entry.due = entry.held + Math.min(Math.random() * 1e3 * 2 ** form.tries, LONGEST_WAIT);
    if (over) entry.done = status;
    // A token that is too old gets no better: wait for another one, unless it has come meanwhile.
    if (status == 401 && tokens[form.offer] == form.token) delete tokens[form.offer];
    if (over || status == 401) delete form.token;
    write(key, entry);
    tell(ok ? "sent" : over ? "rejected" : "retry", view(entry, status));
    flush();
  };

  // ---- Reading the page -------------------------------------------------------------------------

  /** Offers that a button has answered since the last control was set. */
  let pressed = /** @type {any} */ ({});

  /**
   * What the markup around a node says: the nearest answer, the nearest offer and its token.
   * @param {any} node @returns {any} choice, element, offer and token, as far as there are any
   */
  const around = (node) => {
    if (!node) return {};
    // Through slots and open shadow roots, which closest() does not leave.
    const found = around(node.assignedSlot || node.parentNode || node.host);
    for (const element of [...(node.labels || []), node]) {
      const { choice: said, offer, token } = element.dataset || {};
      const choice = ANSWERS.find(
        (word) => word == said || (settings[word] && element.matches?.(settings[word])),
      );
      Object.assign(found, offer && { offer }, token && { token }, choice && { choice, element });
    }
    return found;
  };

  /** Take the answer of a radio, checkbox or option, if it is the one set. @param {any} control */
  const take = (control) => {
    const found = around(control);
    if (found.choice && !pressed[found.offer] && control.matches(":checked"))
      say(found.choice, found);
  };

  const listen = () => {
    on("click", (event) => {
      const found = around(event.composedPath()[0]);
      const control = found.element?.control || found.element;
      if (control?.matches("[type=radio],[type=checkbox]")) {
        // `change` tells, but does not leave a shadow root; and the page may still undo the click.
        pressed = {};
        setTimeout(take, 0, control);
      } else if (control) {
        pressed[found.offer] = 1;
        say(found.choice, found);
      }
    });
    // What was selected beforehand has no event of its own, and form.submit() fires no `submit`.
    // After "No, thank you" a form still holds what was selected before: that counts no more.
    on("change submit formdata", ({ type, target }) => {
      if (type == "change") pressed = {};
      for (const control of document.querySelectorAll(":checked:enabled"))
        if (target.contains(control) || /** @type {any} */ (control).form == target) take(control);
    });
    on("DOMContentLoaded", () => session(settings));
    on("online pageshow visibilitychange", () => flush(true));
    on("pagehide", () => flush(true, true));
  };

  // ---- XCover Elements --------------------------------------------------------------------------

  /** Ask the widget what was chosen and which offer it made; the shop's own signals stay. */
  const hookElements = () => {
    // The offer's id reaches only the `onSet` of the shop's own signal: pass on a copy that looks.
    const watch = (/** @type {any} */ signal) =>
      signal?.signal == "set"
        ? {
            ...signal,
            onSet(/** @type {unknown} */ answer) {
              Promise.resolve(/** @type {any} */ (answer)).then(
                // An answer without an id throws, and changes nothing.
                guard(({ id, provider_reference: old }) => session({ offer: (id || old).trim() })),
                () => {},
              );
              return signal.onSet?.(answer);
            },
          }
        : signal;
    page.signalLayer = new Proxy(page.signalLayer || [], {
      get(layer, name) {
        // The `push` of this moment: the widget brings its own, which may call the one it replaced.
        const value = layer[name];
        return name == "push"
          ? (/** @type {any[]} */ ...signals) => value.apply(layer, signals.map(watch))
          : watch(value);
      },
    });
    page.signalLayer.push({
      signal: "listen",
      element: settings.elements || "xce-protection-offer",
      onChange: guard(({ selectedOption }) => {
        if (selectedOption) say(selectedOption == "reject" ? "declined" : "accepted");
      }),
    });
  };

  // ---- offerChoice ------------------------------------------------------------------------------

  /**
   * Take in what the page says about itself, and say once that its offers were shown.
   * @param {Settings} news
   */
  const session = (news) => {
    Object.assign(settings, { purchased: null, ...news });
    const { offer, purchased } = settings;
    if (purchased != null) say("purchased", { ...settings, order: purchased || undefined });
    else {
      if (offer) say("undecided", settings);
      for (const element of document.querySelectorAll("[data-offer]:not(script)"))
        say("undecided", around(element));
    }
    flush(true);
  };

  const offerChoice = guard((word = "", /** @type {Settings} */ detail = {}) => {
    if (word == "session") session(detail);
    else if (word == "status") {
      const entry = read(PREFIX + "choice" + (detail.offer || settings.offer));
      return entry && view(entry);
    } else if (word == "pause" || word == "resume") {
      paused = word == "pause";
      flush(true);
    } else say(word, detail);
  });

  const start = guard(() => {
    for (const args of page.offerChoice?.q || []) offerChoice(.../** @type {[]} */ (args));
    page.offerChoice = offerChoice;
    listen();
    if (settings.elements != null) hookElements();
    session(settings);
  });

  // A page that is rendered ahead may never be seen.
  if (/** @type {any} */ (document).prerendering) on("prerenderingchange", start);
  else start();
})();
