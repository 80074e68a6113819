// @ts-check
// A stand-in for the script of XCover Elements, which draws an insurer's offer into a shop's page.
// It keeps to what docs.covergenius.com/xcover-elements/client-integration says of the signals, and
// knows neither this shop nor choice.js. Two things are its own: no insurer is asked, the offer is
// made up here; and `update`, of which only the name is documented, changes the price that is shown.
(() => {
  "use strict";

  const TAG = "xce-protection-offer";
  const REJECT = "reject"; // what a "no" is called
  const INSURER = "Fernhill Mutual";
  const RATE = 0.08; // of the price of the tickets
  const JOURNEY = 250; // ms; the real one asks a server

  /**
   * @typedef {{schema?: string,
   *   customer: {currency: string, country: string, language: string},
   *   context: {total_tickets_price: number}}} OfferRequest
   * @typedef {{offer_request: OfferRequest, currency_config?: Record<string, any>}} Data
   * @typedef {{id: string, product_config_id: string, type: string,
   *   details: {policy_name: string}, price: number}} Product
   * @typedef {{id: string, offer_config_id: string, products: Product[]}} Offer
   * @typedef {(answer: {selectedOption: string, selectedProducts: Product[]}) => void} OnChange
   * @typedef {{signal: string, element: string, data: Data, onChange: OnChange,
   *   onSet?: (made: Promise<Offer>) => void}} Signal
   */

  /** What was set last. @type {{offer: Offer, data: Data} | undefined} */
  let shown;
  /** @type {OnChange[]} */
  const listeners = [];

  // ---- The offer --------------------------------------------------------------------------------

  const priceOf = (/** @type {OfferRequest} */ { context }) =>
    Math.round(context.total_tickets_price * RATE * 100) / 100;

  /** @param {Data} data @returns {Promise<Offer>} */
  const makeOffer = async ({ offer_request: request }) => {
    await new Promise((arrived) => setTimeout(arrived, JOURNEY));
    const price = priceOf(request);
    if (!request.schema || !(price > 0)) throw new Error("This offer request is not valid.");
    const [id, offer_config_id, product, product_config_id] = Array.from({ length: 4 }, () =>
      crypto.randomUUID(),
    );
    const details = { policy_name: "Ticket protection" };
    const products = [{ id: product, product_config_id, type: "insurance", details, price }];
    return { id, offer_config_id, products };
  };

  /** @param {Data} data */
  const written = ({ offer_request: { customer, context }, currency_config: config }) => {
    const { currency, country, language } = customer;
    const price = priceOf({ customer, context });
    const format = { style: /** @type {const} */ ("currency"), currency, ...config };
    const text = new Intl.NumberFormat(`${language}-${country}`, format).format(price);
    return text.replace(/\s*(?=\d)/, "\u00a0"); // some browsers know "en", but no "en-NL"
  };

  // ---- The element ------------------------------------------------------------------------------

  /**
   * The shop gives it its look through the parts.
   * @param {string} name @param {string} part @param {(Node | string)[]} children
   */
  const make = (name, part, ...children) => {
    const element = document.createElement(name);
    element.setAttribute("part", part);
    element.append(...children);
    return element;
  };

  /** @param {string} value @param {string} title @param {Node | string} note */
  const answer = (value, title, note) => {
    const radio = /** @type {HTMLInputElement} */ (make("input", "radio"));
    Object.assign(radio, { type: "radio", name: "answer", value });
    return make("label", "answer", radio, make("span", "words", make("b", "name", title), note));
  };

  /** The two answers, alike. @param {Product} product @param {string} price */
  const answers = (product, price) => {
    const cost = make("small", "note", "Add ", make("span", "price", price));
    const yes = answer(product.id, "Protect my tickets", cost);
    const no = answer(REJECT, "No, thank you", make("small", "note", "Go without protection"));
    return make("div", "answers", yes, no);
  };

  const TEXT =
    `${INSURER} returns the price of your tickets when illness, an accident or a cancelled train ` +
    "keeps you away.";

  class ProtectionOffer extends HTMLElement {
    #root = this.attachShadow({ mode: "open" });

    connectedCallback() {
      this.#root.addEventListener("change", () => this.#answered());
      this.draw();
    }

    /** Draw what was set, with nothing selected. */
    draw() {
      if (!shown) return;
      const { offer, data } = shown;
      this.#root.replaceChildren(
        make(
          "fieldset",
          "frame",
          make("legend", "title", "Ticket protection"),
          make("p", "text", TEXT),
          answers(offer.products[0], written(data)),
          make("p", "small", `Offered and insured by ${INSURER}.`),
        ),
      );
    }

    /** Write the price anew; the answer stays. */
    reprice() {
      const price = this.#root.querySelector("[part=price]");
      if (price && shown) price.textContent = written(shown.data);
    }

    #answered() {
      /** @type {NodeListOf<HTMLInputElement>} */
      const radios = this.#root.querySelectorAll("input");
      for (const radio of radios) {
        radio.parentElement?.setAttribute("part", radio.checked ? "answer chosen" : "answer");
        if (radio.checked) tell(radio.value);
      }
    }
  }

  // ---- The signals ------------------------------------------------------------------------------

  const elements = () =>
    /** @type {NodeListOf<ProtectionOffer>} */ (document.querySelectorAll(TAG));

  /** @param {string} selectedOption */
  const tell = (selectedOption) => {
    const all = shown?.offer.products ?? [];
    const selectedProducts = all.filter(({ id }) => id === selectedOption);
    for (const onChange of listeners) {
      try {
        onChange({ selectedOption, selectedProducts });
      } catch (error) {
        console.error(error); // one listener spoils no other
      }
    }
  };

  /** @type {Record<string, (signal: Signal) => void>} */
  const signals = {
    set({ data, onSet }) {
      const made = makeOffer(data).then((offer) => {
        shown = { offer, data };
        for (const element of elements()) element.draw();
        return offer;
      });
      made.catch(() => {
        for (const element of elements()) element.hidden = !shown; // an empty frame helps nobody
      });
      onSet?.(made);
    },
    listen({ onChange }) {
      listeners.push(onChange);
    },
    update({ data }) {
      if (!shown) return;
      shown.data = { ...shown.data, ...data };
      shown.offer.products[0].price = priceOf(shown.data.offer_request);
      for (const element of elements()) element.reprice();
    },
  };

  const handle = (/** @type {Signal} */ signal) => {
    if (signal.element === TAG) signals[signal.signal]?.(signal);
  };

  customElements.define(TAG, ProtectionOffer);
  // What was pushed before this script came, then whatever comes.
  const layer = (/** @type {any} */ (window).signalLayer ??= []);
  layer.push = (/** @type {Signal[]} */ ...more) => more.forEach(handle);
  layer.forEach(handle);
})();
