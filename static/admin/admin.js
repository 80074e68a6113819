// Live updates, and long work that goes on by itself: without this script every page works, shows
// what was true when it was asked for, and has a button to go on.
//
// <section id="x" data-live="URL"> is asked for anew every 5 s while the page is looked at. The
// answer is the section's new content, or a page that has an element with the same id. What is
// marked `data-say` inside is spoken when it has changed. Forms do not belong in such a section.
(() => {
  "use strict";
  const EVERY = 5000;
  const ALONE = 10 * 60_000; // a page that nobody touches so long must not keep its session alive
  let touched = Date.now();

  async function ask(address) {
    const answer = await fetch(address, {
      headers: { Accept: "text/html" },
      credentials: "same-origin",
      redirect: "error", // to the sign-in page
    });
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  function renew(section, page) {
    const fresh = (section.id && page.getElementById(section.id)) || page.body;
    if (fresh.innerHTML.trim() !== section.innerHTML.trim()) replace(section, fresh);
  }

  function replace(section, fresh) {
    const focused = section.contains(document.activeElement) ? document.activeElement : null;
    const again = focused && focused.id && fresh.querySelector(`#${CSS.escape(focused.id)}`);
    if (focused && !again) return; // whoever reads or is about to press there is left alone
    const before = words(section);
    section.replaceChildren(...document.importNode(fresh, true).childNodes);
    if (focused) document.getElementById(focused.id).focus({ preventScroll: true });
    const after = words(section);
    if (after !== before) document.getElementById("said").textContent = after;
  }

  function words(section) {
    return [...section.querySelectorAll("[data-say]")]
      .map((part) => part.textContent.replace(/\s+/g, " ").trim())
      .join(" ");
  }

  async function round() {
    const pages = new Map(); // sections of one page share its answer
    const isSeen = document.visibilityState === "visible" && Date.now() - touched < ALONE;
    for (const section of isSeen ? sections() : []) {
      const address = section.dataset.live;
      try {
        if (!pages.has(address)) pages.set(address, ask(address));
        renew(section, await pages.get(address));
        section.removeAttribute("data-stale");
      } catch {
        section.setAttribute("data-stale", ""); // said by the style sheet; the next round may do
      }
    }
    setTimeout(round, EVERY);
  }

  const sections = () => document.querySelectorAll("[data-live]");
  if (sections().length) setTimeout(round, EVERY);
  for (const sign of ["pointermove", "pointerdown", "keydown", "scroll", "focus"]) {
    addEventListener(sign, () => (touched = Date.now()), { passive: true });
  }

  // On a phone the pages lie in a row that scrolls.
  const here = document.querySelector(".bar [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });

  // What a person has started and the server does in parts goes on without further presses.
  const onward = document.querySelector("form[data-goes-on]");
  if (onward) onward.requestSubmit();
})();
