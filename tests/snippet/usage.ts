// What a page may say, and what its editor underlines: compiled, never run.
import { offerChoice, type Told } from "../../static/choice";

offerChoice("session", { endpoint: "https://proxy.example", offer: "OFFER-1", token: "a.b" });
offerChoice("declined");
offerChoice("accepted", { offer: "OFFER-2" });
window.offerChoice("purchased", { order: "ORDER-1" });
offerChoice("pause");
const told: Told | undefined = offerChoice("status");
window.addEventListener("choice:retry", ({ detail }) => detail.tries + (detail.status ?? 0));
window.addEventListener("choice:error", ({ detail }) => console.warn(detail));

// @ts-expect-error the word is "declined"
offerChoice("decline");
// @ts-expect-error a customer who was shown an offer has answered nothing
offerChoice("undecided");
// @ts-expect-error the token is not shown
told?.token;
// @ts-expect-error there is no such attribute
offerChoice("session", { selector: "#no" });
