// @ts-check
// What a shop writes for XCover Elements, as its documentation says: ask the widget for an offer,
// hear the answer, and keep the checkout open whatever fails. All of it would be here without us,
// but for the line that names the offer to choice.js.
(() => {
  "use strict";

  /**
   * @typedef {{id: string, price: number}} Product
   * @typedef {{id: string, products: Product[]}} Offer
   */

  const ELEMENT = "xce-protection-offer";
  const page = /** @type {any} */ (window);
  const form = /** @type {HTMLFormElement} */ (document.querySelector("form[data-request]"));
  const checkout = /** @type {HTMLButtonElement} */ (form.querySelector("button.primary"));
  const hint = /** @type {HTMLElement} */ (form.querySelector(".hint"));
  const field = (/** @type {string} */ name) =>
    /** @type {HTMLInputElement} */ (form.elements.namedItem(name));

  /** The checkout is open by default, and waits for an answer only where there is an offer. */
  const open = (/** @type {boolean} */ yes) => {
    checkout.disabled = !yes;
    hint.textContent = yes ? "" : "Please choose one of the two answers first.";
  };

  /** Our server can not know the offer otherwise, and confirms it later. */
  const keep = (/** @type {string} */ offer) => {
    field("offer").value = offer; // goes with the answer, too
    const body = new URLSearchParams({ offer });
    fetch(String(form.dataset.named), { method: "POST", body, keepalive: true }).catch(() => {});
  };

  /** @param {Promise<Offer>} made */
  const onSet = async (made) => {
    try {
      const offer = await made;
      keep(offer.id);
      page.offerChoice("session", { offer: offer.id });
      open(false);
    } catch (error) {
      console.warn("No protection is offered:", error);
    }
  };

  /** @param {{selectedOption: string, selectedProducts: Product[]}} answer */
  const onChange = ({ selectedOption, selectedProducts }) => {
    const cents = selectedProducts.reduce((sum, { price }) => sum + Math.round(price * 100), 0);
    const protection = field("protection");
    protection.value = selectedOption === "reject" ? "declined" : "accepted";
    protection.dataset.cents = String(cents);
    protection.dispatchEvent(new Event("change", { bubbles: true })); // the total follows
    open(true);
  };

  // The stub of choice.js, should that load last: it has then missed the offer.
  page.offerChoice ??= (/** @type {any[]} */ ...args) => {
    (page.offerChoice.q ??= []).push(args);
  };
  page.signalLayer = page.signalLayer || [];
  page.signalLayer.push(
    {
      signal: "set",
      element: ELEMENT,
      onSet,
      data: {
        offer_request: JSON.parse(String(form.dataset.request)),
        currency_config: { trailingZeroDisplay: "auto" },
      },
    },
    { signal: "listen", element: ELEMENT, onChange },
  );
})();
