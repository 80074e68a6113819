// @ts-check
// The demo shop's own script: the total while the visitor chooses, and the panel "What travels".
// A shop needs none of this; the one tag it adds is choice.js.
(() => {
  "use strict";

  const SOON = 150; // ms between two questions while something is on its way
  const LATER = 1500;

  /**
   * @typedef {{method: string, path: string, scheme: string, verified: boolean, why_not: string,
   *   idempotency_key: string, status: number}} Received
   * @typedef {{choice: string, report: string, purchased: boolean, order: string | null,
   *   conflict: boolean}} OfferRecord
   * @typedef {{offer: string | null, tone: string, sentence: string, stations: Record<string, string>,
   *   record: OfferRecord | null, received: Received[]}} Travels
   */

  const euros = (/** @type {number} */ cents) => `€\u00a0${(cents / 100).toFixed(2)}`;

  /** Keep the total in step with the answer. */
  const followTotal = () => {
    const total = /** @type {HTMLElement | null} */ (document.querySelector("[data-total]"));
    const line = /** @type {HTMLElement | null} */ (document.querySelector("[data-protection]"));
    if (!total || !line) return;
    const show = () => {
      const answer = /** @type {HTMLInputElement | null} */ (
        document.querySelector("[data-cents]:is(:checked, [type=hidden])")
      );
      const extra = Number(answer?.dataset.cents ?? 0);
      line.hidden = extra === 0;
      total.textContent = euros(Number(total.dataset.total) + extra);
    };
    document.addEventListener("change", show);
    window.addEventListener("pageshow", show); // a browser may restore the answer on the way back
  };

  /** @param {ParentNode} parent @param {string} name @param {string} text */
  const write = (parent, name, text) => {
    const place = /** @type {HTMLElement | null} */ (parent.querySelector(`[data-fact="${name}"]`));
    if (place && place.textContent !== text) place.textContent = text;
    return place;
  };

  /** @param {HTMLElement} station @param {boolean} empty */
  const showEmpty = (station, empty) => {
    for (const child of station.children) {
      if (child instanceof HTMLElement && child.matches("[data-empty]")) child.hidden = !empty;
      if (child instanceof HTMLElement && child.matches("dl")) child.hidden = empty;
    }
  };

  /** Let a long path break after its slashes. @param {Element} place @param {string} text */
  const writePath = (place, text) => {
    if (place.textContent === text) return;
    const parts = text.split(/(?<=\/)/).flatMap((part) => [part, document.createElement("wbr")]);
    place.replaceChildren(...parts);
  };

  /** @param {Element} card @param {Received} received */
  const fill = (card, received) => {
    const path = card.querySelector(".path");
    if (path) writePath(path, `${received.method} ${received.path}`);
    const verified = received.verified ? "yes" : `no: ${received.why_not}`;
    const good = received.verified && received.status < 300 ? "yes" : "no";
    write(card, "scheme", received.scheme);
    write(card, "idempotency_key", received.idempotency_key);
    for (const place of [
      write(card, "verified", verified),
      write(card, "status", String(received.status || "none yet")),
    ]) {
      if (place) place.dataset.good = good;
    }
  };

  /** @param {HTMLTemplateElement} template @param {Element} list @param {Received[]} all */
  const fillList = (template, list, all) => {
    while (list.children.length > all.length) list.lastElementChild?.remove();
    all.forEach((received, index) => {
      if (!list.children[index]) list.append(template.content.cloneNode(true));
      fill(list.children[index], received);
    });
  };

  /** @param {HTMLElement} panel */
  const follow = (panel) => {
    const station = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (panel.querySelector(`[data-station="${name}"]`));
    const template = /** @type {HTMLTemplateElement} */ (panel.querySelector("template"));
    const list = /** @type {HTMLElement} */ (panel.querySelector(".received"));
    const sentences = [panel.querySelector(".sentence"), document.querySelector("[data-peek]")];
    let hurry = 20; // questions to ask quickly
    let timer = 0;

    /** What this browser knows of its own answer: the snippet keeps it until it is acknowledged. */
    const tellPage = () => {
      const said = /** @type {Record<string, any>} */ (window).offerChoice?.("status");
      if (!said?.choice || said.choice === "undecided") return;
      const kept = said.status >= 200 && said.status < 300;
      write(panel, "said", `${said.choice}, ${kept ? `answered ${said.status}` : "sending"}`);
      write(panel, "receipt", said.id);
      const row = panel.querySelector("[data-receipt]");
      if (row instanceof HTMLElement) row.hidden = !kept;
    };

    /** @param {Travels} travels */
    const show = (travels) => {
      for (const place of sentences) {
        if (!(place instanceof HTMLElement)) continue;
        if (place.textContent !== travels.sentence) place.textContent = travels.sentence;
        place.dataset.tone = travels.tone;
      }
      for (const [name, state] of Object.entries(travels.stations)) station(name).dataset.state = state;
      write(panel, "offer", travels.offer ?? "none yet")?.classList.toggle("mono", !!travels.offer);
      const record = travels.record;
      showEmpty(station("proxy"), !record);
      if (record) {
        write(panel, "choice", record.choice);
        write(panel, "report", record.conflict ? `${record.report}, in conflict` : record.report);
        write(panel, "purchased", record.purchased ? record.order ?? "yes" : "not yet");
      }
      tellPage();
      showEmpty(station("insurer"), travels.received.length === 0);
      fillList(template, list, travels.received);
    };

    const look = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const answer = await fetch(String(panel.dataset.travels), { cache: "no-store" });
        if (answer.ok) show(await answer.json());
      } catch {
        // the demo has ended; the panel keeps what it last knew
      }
      hurry -= 1;
      clearTimeout(timer);
      timer = setTimeout(look, hurry > 0 ? SOON : LATER);
    };

    const lookSoon = () => {
      hurry = 20;
      tellPage();
      look();
    };

    // what the snippet says of its own work
    for (const type of ["recorded", "sent", "retry", "rejected"]) {
      window.addEventListener(`choice:${type}`, lookSoon);
    }
    document.addEventListener("visibilitychange", lookSoon);
    window.addEventListener("pageshow", lookSoon);
    look();
  };

  const panel = /** @type {HTMLElement | null} */ (document.querySelector("[data-travels]"));
  followTotal();
  if (panel) follow(panel);
})();
