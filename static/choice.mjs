// The snippet as a module. What is said before it has loaded waits; on a server, where there is no
// page, everything is said in vain and nothing fails.
const browser = typeof document == "object";

if (browser && !window.offerChoice) {
  window.offerChoice = function () {
    (window.offerChoice.q = window.offerChoice.q || []).push(arguments);
  };
  import("./choice.js");
}

export const offerChoice = (...args) => (browser ? window.offerChoice(...args) : undefined);
