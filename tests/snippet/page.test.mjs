import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Browser, DAY, SECOND, files, settled } from "./page.mjs";

const TAG = { token: "a.token", offer: "OFFER-1" };

for (const file of files)
  describe(file, () => {
    const open = (data = TAG, options = {}) => new Browser(file).open(data, options);
    const stub = (...calls) => ({ offerChoice: Object.assign(() => {}, { q: calls }) });

    test("an offer is shown once, on however many pages", async () => {
      const browser = new Browser(file);
      const page = browser.open();
      assert.equal(page.last.form.choice, "undecided");
      await page.last.answer(202);

      assert.equal(browser.open().requests.length, 0);
    });

    test("an answer replaces that it was shown", async () => {
      const browser = new Browser(file);
      const page = browser.open();
      page.say("declined");
      await page.requests[0].answer(202);

      assert.equal(browser.record().form.choice, "declined");
      assert.equal(browser.record().done, undefined);
      assert.ok(page.requests[1].form.seq > page.requests[0].form.seq);
    });

    test('data-shown="off" says nothing before an answer', () => {
      assert.equal(open({ ...TAG, shown: "off" }).requests.length, 0);
    });

    test("an offer that was refused as shown is not shown again", async () => {
      const browser = new Browser(file);
      await browser.open().last.answer(400);

      assert.equal(browser.open().requests.length, 0);
    });

    test("a purchase is a message of its own, without a choice, once for each order", async () => {
      const browser = new Browser(file);
      const page = browser.open({ ...TAG, purchased: "ORDER-1" });
      const { choice, purchased, order } = page.last.form;
      assert.deepEqual([choice, purchased, order], [undefined, "1", "ORDER-1"]);
      assert.equal(page.requests.length, 1);
      await page.last.answer(202);
      assert.equal(browser.open({ ...TAG, purchased: "ORDER-1" }).requests.length, 0);

      assert.equal(browser.open({ ...TAG, purchased: "ORDER-2" }).requests.length, 1);
    });

    test("a purchase may come without an order", () => {
      const { form } = open({ ...TAG, purchased: "" }).last;

      assert.equal(form.purchased, "1");
      assert.equal("order" in form, false);
    });

    test("a purchase does not hide the answer that is still waiting", async () => {
      const browser = new Browser(file);
      const page = browser.open();
      page.say("declined");
      await page.last.fail();

      const next = browser.open({ ...TAG, token: "b.token", purchased: "ORDER-1" });

      const sent = next.requests.map(({ form }) => [form.choice || form.order, form.token]);
      assert.deepEqual(sent.sort(), [["ORDER-1", "b.token"], ["declined", "b.token"]]);
    });

    test("the next offer of a single-page shop is not bought by the last one's order", async () => {
      const page = open({ ...TAG, purchased: "ORDER-1" });
      page.say("session", { offer: "OFFER-2", token: "b.token" });

      assert.deepEqual(page.last.form.offer, "OFFER-2");
      assert.deepEqual(page.last.form.choice, "undecided");
    });

    test("offers keep their own tokens", () => {
      const page = open();
      page.say("session", { offer: "OFFER-2", token: "b.token" });
      page.say("declined", { offer: "OFFER-1" });
      page.say("declined");

      const sent = page.answers.map(({ form }) => [form.offer, form.token]);
      assert.deepEqual(sent, [["OFFER-1", "a.token"], ["OFFER-2", "b.token"]]);
    });

    test("a fresh token in the same page is used at once", async () => {
      const page = open();
      page.say("declined");
      await page.last.answer(401);
      const before = page.requests.length;

      page.say("session", { token: "b.token" });

      assert.equal(page.requests.length, before + 1);
      assert.equal(page.last.form.token, "b.token");
      assert.equal(page.last.form.choice, "declined");
    });

    test("a fresh token that comes while the old one is refused is not lost", async () => {
      const page = open({ ...TAG, shown: "off" });
      page.say("declined");
      page.say("session", { token: "b.token" });
      await page.last.answer(401);
      await page.pass(10 * SECOND);

      assert.deepEqual(page.requests.map(({ form }) => form.token), ["a.token", "b.token"]);
    });

    test("what was said before the script came is said then, and nothing is merely shown", () => {
      const page = open(TAG, { globals: stub(["declined"]) });

      assert.deepEqual(page.requests.map(({ form }) => form.choice), ["declined"]);
    });

    test("paused: stored, not sent, not even at leaving; resumed: sent", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG, { globals: stub(["pause"]) });
      page.say("declined");
      await page.fire("pagehide");
      await page.pass(DAY);
      assert.equal(page.requests.length, 0);
      assert.equal(browser.record().form.choice, "declined");

      page.say("resume");

      assert.deepEqual(page.requests.map(({ form }) => form.choice), ["declined"]);
    });

    test("status is the record without its token, or nothing", async () => {
      const page = open();
      page.say("declined");
      assert.equal(page.say("status").status, undefined);
      await page.last.answer(202);

      const { choice, status, ...rest } = page.say("status");
      assert.deepEqual([choice, status], ["declined", 202]);
      assert.deepEqual(Object.keys(rest).sort(), ["at", "id", "offer", "seq", "tries"]);
      assert.equal(page.say("status", { offer: "OFFER-2" }), undefined);
    });

    test("without an offer nothing is sent, and the page is told", () => {
      const page = open({});
      page.say("declined");

      assert.equal(page.requests.length, 0);
      assert.deepEqual(page.told, [["error", "no offer"]]);
    });

    test("without a tag, as a module, the session says everything", () => {
      const page = open(null);
      page.say("declined", TAG);
      assert.equal(page.requests.length, 0);
      page.say("session", { ...TAG, endpoint: "https://proxy.example" });
      page.say("declined");

      assert.equal(page.last.url, "https://proxy.example/v1/choices");
      assert.equal(page.last.form.token, "a.token");
    });

    test("an answer without a token waits for one", () => {
      const browser = new Browser(file);
      browser.open({ offer: "OFFER-1" }).say("declined");

      assert.equal(browser.open().last.form.choice, "declined");
    });

    test("a page that is rendered ahead says nothing before it is seen", async () => {
      const browser = new Browser(file);
      const document = { currentScript: { src: "https://proxy.example/s", dataset: TAG } };
      Object.assign(document, { prerendering: true, querySelectorAll: () => [] });
      const page = browser.open(TAG, { globals: { document } });
      assert.deepEqual([page.requests.length, Object.keys(browser.storage)], [0, []]);

      document.prerendering = false;
      await page.fire("prerenderingchange");

      assert.equal(page.last.form.choice, "undecided");
    });

    test("a listener that fails is told, and goes no further", async () => {
      const page = open();
      await page.fire("click", { composedPath: () => { throw new Error("odd"); } });

      assert.equal(page.types.at(-1), "error");
    });

    test("no unload: the page may go to the back/forward cache", () => {
      const types = [...open().listeners.keys()];

      assert.deepEqual(types, [
        "click", "change", "submit", "formdata",
        "pageshow", "online", "visibilitychange", "pagehide",
      ]);
    });

    describe("XCover Elements", () => {
      const ELEMENTS = { token: "a.token", elements: "" };

      test("the offer's id comes from the shop's own signal, which is left as it was", async () => {
        const seen = [];
        const own = Object.freeze({ signal: "set", onSet: (made) => (seen.push(made), "theirs") });
        const page = open(ELEMENTS, { globals: { signalLayer: [own] } });
        const made = Promise.resolve({ id: "MADE-1" });

        assert.equal(page.global.signalLayer[0].onSet(made), "theirs");
        await settled();

        assert.deepEqual(seen, [made]);
        assert.equal(page.last.form.offer, "MADE-1");
      });

      for (const [name, made] of Object.entries({
        "no id": async () => ({}),
        nothing: async () => undefined,
        "a failure": () => Promise.reject(new Error("no offer today")),
      }))
        test(`${name} instead of an offer changes nothing`, async () => {
          const own = { signal: "set" };
          const page = open({ ...ELEMENTS, offer: "OFFER-1" }, { globals: { signalLayer: [own] } });
          page.global.signalLayer[0].onSet(made());
          await settled();
          page.say("declined");

          assert.equal(page.last.form.offer, "OFFER-1");
        });

      test("the older answer names the offer otherwise", async () => {
        const page = open(ELEMENTS, { globals: { signalLayer: [{ signal: "set" }] } });
        page.global.signalLayer[0].onSet({ provider_reference: "ULBRT-XW3JL-INS" });
        await settled();

        assert.equal(page.last.form.offer, "ULBRT-XW3JL-INS");
      });

      test("a signal that the shop pushes later reaches the widget, and us", async () => {
        const heard = [];
        const page = open(ELEMENTS);
        page.global.signalLayer.push = (signal) => heard.push(signal);

        page.global.signalLayer.push({ signal: "set" });
        heard[0].onSet({ id: "MADE-2" });
        await settled();

        assert.equal(page.last.form.offer, "MADE-2");
      });

      test("a widget whose push calls the one it replaced does not go round in circles", () => {
        const page = open({ ...ELEMENTS, offer: "OFFER-1" });
        const layer = page.global.signalLayer;
        const before = layer.push;
        const heard = [];
        layer.push = (...signals) => (heard.push(...signals), before(...signals));

        layer.push({ signal: "update" });

        assert.deepEqual(heard, [{ signal: "update" }]);
      });

      test("what is chosen is said: reject is a decline, a product an acceptance", async () => {
        const page = open({ ...ELEMENTS, offer: "OFFER-1" });
        const { signal, element, onChange } = page.global.signalLayer[0];
        assert.deepEqual([signal, element], ["listen", "xce-protection-offer"]);
        onChange({});
        assert.equal(page.answers.length, 0);
        onChange({ selectedOption: "product-1" });
        onChange({ selectedOption: "reject" });

        assert.deepEqual(page.answers.map(({ form }) => form.choice), ["accepted", "declined"]);
      });
    });

    test("nothing runs for longer than it must: a quiet page has no timer", async () => {
      const page = open();
      await page.last.answer(202);
      await page.pass(SECOND);

      assert.equal(page.timers.size, 0);
    });
  });
