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
 * @property {number} [due] ms; nobody sends before
 * @property {boolean | null} [soft] what a new page or connection cuts short: our own backoff;
 *   null while a request is out
 * @property {number} [done] the HTTP status that ended it
 */

/**
 * The data-* of the tag, and what `offerChoice("session", …)` says later.
 * @typedef {Record<string, string | null | undefined>} Settings
 */

(() => {
  const PREFIX = "offerChoice:";
  const LEASE = 3e4; // a proxy that hangs is not asked more often than this
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

  /** What this page has written, in case that the storage is denied, full or cleared. */
  const memory = /** @type {Settings} */ ({});
  let store = memory;
  try {
    localStorage[PREFIX]; // where every access fails, though the name is there
    store = localStorage;
  } catch {}

  /** @param {string} key @returns {Entry | undefined} */
  const read = (key) => {
    try {
      return JSON.parse(/** @type {string} */ (store[key] || memory[key]));
    } catch {}
  };

  /** @param {string} key @param {Entry} entry */
  const write = (key, entry) => {
    memory[key] = JSON.stringify(entry);
    try {
      store[key] = memory[key];
    } catch {
      delete store[key]; // what it held is no longer true
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
    const { form: old, done } = /** @type {any} */ (read(key)) || {};
    const news =
      choice == "undecided"
        ? !old && settings.shown != "off"
        : !old || done > 299 || old[field] != value || old.order != order;
    if (news) {
      const at = Date.now();
      const seq = old?.seq >= at ? old.seq + 1 : at;
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

  /**
   * Send what is due; with *force* also what only waits for our own backoff.
   * @param {boolean} [force] @param {boolean} [leaving]
   */
  const flush = (force, leaving) => {
    clearTimeout(timer);
    if (paused) return;
    let wait = Infinity;
    // Guarded one by one: a spoiled record holds up no other.
    for (const place of [memory, store])
      for (const key in place) wait = Math.min(wait, guard(deliver)(key, force, leaving) || wait);
    // Not at the same moment as the other tabs: the first one takes the lease.
    if (wait < Infinity) timer = setTimeout(flush, wait + 1e3 * Math.random());
  };

  /**
   * Make one attempt if it is time for it; return the ms until the next look.
   * @param {string} key @param {boolean=} force @param {boolean=} leaving
   */
  const deliver = (key, force, leaving) => {
    const entry = key.startsWith(PREFIX) && read(key);
    if (!entry) return;
    const { form } = entry;
    const now = Date.now();
    if (now - form.at > WEEK) {
      delete store[key];
      delete memory[key];
      entry.done = entry.done || /** @type {any} */ (tell("expired", view(entry)));
    }
    form.token = tokens[form.offer] || form.token;
    if (entry.done || !form.token || !settings.endpoint) return;

    const wait = /** @type {number} */ (entry.due) - now;
    // A time further off than any wait of ours was written before the clock was set back.
    if (wait > 0 && wait <= LONGEST_WAIT && !(force && entry.soft)) {
      if (leaving && entry.soft == null) {
        // It outlives the page, but nobody will read the answer: the next page asks again soon.
        entry.due = now + Math.min(wait, SHORT_LEASE);
        write(key, entry);
      }
      return wait;
    }
    form.tries = Math.min(form.tries + 1, 999);
    entry.due = now + (leaving ? SHORT_LEASE : LEASE);
    entry.soft = KEEPALIVE || leaving ? null : true;
    write(key, entry);
    post(key, form, leaving);
    return LEASE;
  };

  /** @param {string} key @param {Form} form @param {boolean=} leaving */
  const post = (key, form, leaving) => {
    const url = settings.endpoint + "/v1/choices";
    // A form needs no preflight, for which a closing page would not wait.
    const body = new URLSearchParams(/** @type {any} */ (form));
    // Async, so that it is a failed attempt too when a patched fetch throws or answers nothing.
    const send = async () =>
      settle(
        key,
        form,
        await fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" }),
      );
    // A beacon is the last resort: it can not tell whether it arrived.
    const failed = () => (leaving ? navigator.sendBeacon?.(url, body) : settle(key, form, {}));
    if (leaving && !KEEPALIVE) failed();
    else send().catch(failed);
  };

  /**
   * Write down how an attempt ended, unless the customer has changed their mind meanwhile.
   * @param {string} key @param {Form} sent @param {Partial<Response>} answer
   */
  const settle = (key, { id, tries }, { status = 0, headers }) => {
    const entry = read(key);
    // It is on disk, or such a request never succeeds (openapi.yaml). No other 2xx is ours: a
    // service worker or a server that answers everything has not kept the answer.
    const over = [202, 400, 410, 411, 413, 415, 422].includes(status);
    // While a later attempt is out, the failure of an earlier one is no news.
    if (entry?.form.id != id || entry.done || (!over && entry.form.tries != tries)) return;
    const { form } = entry;
    const asked = 1e3 * /** @type {any} */ (headers?.get("Retry-After")); // NaN where it did not
    entry.due = Date.now() + Math.min(asked || 1e3 * Math.random() * 2 ** form.tries, LONGEST_WAIT);
    entry.soft = !asked;
    if (over) entry.done = status;
    // A token that is too old gets no better: wait for another one, unless it has come meanwhile.
    if (status == 401 && tokens[form.offer] == form.token) delete tokens[form.offer];
    if (over || status == 401) delete form.token;
    write(key, entry);
    tell(over ? (status == 202 ? "sent" : "rejected") : "retry", view(entry, status));
    flush();
  };

  // ---- Reading the page -------------------------------------------------------------------------

  /** Offers that were answered otherwise since one of their controls was set. */
  const pressed = /** @type {any} */ ({});

  /**
   * What the markup around a node says: the nearest answer, the nearest offer and its token.
   * @param {any} node @returns {any} choice, control, offer and token, as far as there are any
   */
  const around = (node) => {
    if (!node) return { offer: settings.offer };
    // Through slots and open shadow roots, which closest() does not leave.
    const found = around(node.assignedSlot || node.parentNode || node.host);
    for (const element of [...(node.labels || []), node]) {
      const { choice: said, offer, token } = element.dataset || {};
      const choice = ["declined", "accepted"].find(
        (word) => word == said || (settings[word] && element.matches?.(settings[word])),
      );
      if (offer) found.offer = offer;
      if (token) found.token = token;
      if (choice) {
        found.choice = choice;
        found.control = element.control || element;
      }
    }
    return found;
  };

  /**
   * Take the answer of a radio, checkbox or option, if it is set.
   * @param {any} control @param {unknown} [changed] its own event says that it was changed
   */
  const take = (control, changed, found = around(control)) => {
    const { choice, offer } = found;
    if (choice && (changed || !pressed[offer])) {
      pressed[offer] = 0;
      if (control.matches(":checked")) say(choice, found);
      // A tick that is taken away from a checkbox is no more.
      else if (
        changed &&
        control == found.control &&
        /x$/.test(control.type) &&
        read(PREFIX + "choice" + offer)?.form.choice == choice
      )
        say("declined", found);
    }
  };

  const listen = () => {
    on("click", (event) => {
      const found = around(event.composedPath()[0]);
      if (/radio|x$/.test(found.control?.type)) {
        // `change` tells, but does not leave a shadow root; and the page may still undo the click,
        // or take the control away.
        pressed[found.offer] = 0;
        setTimeout(take, 0, found.control, 0, found);
      } else if (found.choice) offerChoice(found.choice, found);
    });
    on("change", ({ target }) => {
      for (const control of target.selectedOptions || [target]) take(control, 1);
    });
    // What was selected beforehand has no event of its own, and form.submit() fires no `submit`.
    // After "No, thank you" a form still holds what was selected before: that counts no more.
    on("submit formdata", ({ target }) => {
      for (const control of document.querySelectorAll(":checked:enabled"))
        if (/** @type {any} */ (control).form == target) take(control);
    });
    on("pageshow", () => session(settings)); // by then all offers of the page are there
    on("online visibilitychange pagehide", ({ type }) => flush(true, type == "pagehide"));
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
              (async () => {
                const made = /** @type {any} */ (await answer);
                session({ offer: (made.id || made.provider_reference).trim() });
              })().catch(() => {}); // an answer without an id changes nothing
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
    // Another offer has not been bought.
    Object.assign(settings, { ...(news.offer && { purchased: null }), ...news });
    const { offer, purchased } = settings;
    if (purchased != null) say("purchased", { ...settings, order: purchased || undefined });
    else {
      if (offer) say("undecided", settings);
      for (const control of document.querySelectorAll("[data-offer] [data-choice]"))
        say("undecided", around(control));
    }
    flush(true);
  };

  const offerChoice = guard((/** @type {any} */ word, /** @type {Settings} */ detail = {}) => {
    const offer = detail.offer || settings.offer;
    if (word == "session") session(detail);
    else if (word == "status") {
      const entry = read(PREFIX + "choice" + offer);
      return entry && view(entry);
    } else if (word == "pause") paused = true;
    else if (word == "resume") {
      paused = false;
      flush(true);
    } else {
      pressed[/** @type {string} */ (offer)] = 1;
      say(word, detail);
    }
  });

  const start = guard(() => {
    for (const args of page.offerChoice?.q || []) offerChoice(.../** @type {[any]} */ (args));
    page.offerChoice = offerChoice;
    listen();
    if (settings.elements != null) hookElements();
    session(settings);
  });

  // A page that is rendered ahead may never be seen.
  if (/** @type {any} */ (document).prerendering) on("prerenderingchange", start);
  else start();
})();
