/** What the snippet offers to a page, and what it tells it. */

export type Choice = "undecided" | "declined" | "accepted";

/** What the data-* of the tag can say as well; each may be left out. */
export interface Session {
  /** The offer that calls and controls without an offer of their own are about. */
  offer?: string;
  /** The session token for it, minted by the shop's server. */
  token?: string;
  /** The proxy's origin, without a slash at its end. */
  endpoint?: string;
  /** The order, on the page that confirms the purchase; may be empty. */
  purchased?: string;
  /** A CSS selector of what declines. */
  declined?: string;
  /** A CSS selector of what accepts. */
  accepted?: string;
  /** "off": do not tell the proxy that an offer was shown. */
  shown?: "off";
}

export interface Answer {
  /** The session's offer, if left out. */
  offer?: string;
  /** The offer's token, if the page has not named it yet. */
  token?: string;
}

export interface Purchase extends Answer {
  order?: string;
}

/** One record, as events and `status` show it: all but its token. */
export interface Told {
  offer: string;
  /** Absent when a purchase is told. */
  choice?: Choice;
  purchased?: 1;
  order?: string;
  /** One for each answer, the same in every attempt. */
  id: string;
  /** ms; the highest one wins. */
  seq: number;
  /** ms; when the customer answered. */
  at: number;
  /** How often it was sent. */
  tries: number;
  /**
   * The HTTP status of the attempt that the event is about, 0 if there was no answer.
   * From `status`: the one that ended it, undefined while the proxy has not acknowledged it.
   */
  status?: number;
}

export interface OfferChoice {
  (word: "declined" | "accepted", answer?: Answer): void;
  (word: "purchased", purchase?: Purchase): void;
  /** Take in a new offer, or a fresh token for one, without loading a page. */
  (word: "session", session: Session): void;
  /** Go on storing, send nothing: for a consent tool. */
  (word: "pause" | "resume"): void;
  (word: "status", answer?: Pick<Answer, "offer">): Told | undefined;
}

export interface ChoiceEvents {
  /** Stored in this browser. */
  "choice:recorded": CustomEvent<Told>;
  /** Acknowledged by the proxy. */
  "choice:sent": CustomEvent<Told>;
  /** An attempt failed; there will be another. Status 401: with the next page's token. */
  "choice:retry": CustomEvent<Told>;
  /** The proxy will never accept it. */
  "choice:rejected": CustomEvent<Told>;
  /** Given up, unacknowledged, after seven days. */
  "choice:expired": CustomEvent<Told>;
  /** Something in the snippet or in the page's use of it went wrong. */
  "choice:error": CustomEvent<unknown>;
}

declare global {
  interface Window {
    offerChoice: OfferChoice;
  }
  interface WindowEventMap extends ChoiceEvents {}
}

/** The snippet as a module: there is no tag, so say `offerChoice("session", { endpoint, … })`. */
export const offerChoice: OfferChoice;
