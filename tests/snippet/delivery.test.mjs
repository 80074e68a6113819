import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Browser, DAY, MINUTE, SECOND, files, settled } from "./page.mjs";

const TAG = { token: "a.token", offer: "OFFER-1", shown: "off" };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const FINAL = [400, 410, 411, 413, 415, 422];
const RETRIED = [0, 200, 201, 204, 206, 300, 402, 403, 404, 405, 408, 409, 423, 425, 429, 500, 501, 502, 503, 504, 507, 599];

for (const file of files)
  describe(file, () => {
    const open = (data = TAG, options = {}) => new Browser(file).open(data, options);

    test("an answer is stored before it is sent, and sent at once", () => {
      const browser = new Browser(file);
      let stored;
      const fetch = () => ((stored = browser.record()), new Promise(() => {}));
      browser.open(TAG, { globals: { fetch } }).say("declined");

      assert.equal(stored.form.choice, "declined");
      assert.equal(stored.form.token, "a.token");
    });

    test("the request is the one that the design names", () => {
      const page = open();
      page.say("declined");

      const { url, method, keepalive, credentials, form, ...rest } = page.last;
      assert.equal(url, "https://proxy.example/v1/choices");
      assert.deepEqual([method, keepalive, credentials], ["POST", true, "omit"]);
      assert.deepEqual(Object.keys(rest), ["answer", "fail"]);
      assert.match(form.id, UUID);
      assert.deepEqual(
        { ...form, id: "" },
        {
          offer: "OFFER-1",
          choice: "declined",
          id: "",
          seq: "1800000000000",
          at: "1800000000000",
          tries: "1",
          token: "a.token",
        },
      );
    });

    test("an id is a UUID in browsers without crypto.randomUUID as well", () => {
      const page = open(TAG, { globals: { crypto: {} } });
      page.say("declined");
      page.say("accepted");

      const [first, second] = page.requests.map(({ form }) => form.id);
      assert.match(first, UUID);
      assert.notEqual(first, second);
    });

    test("done on 2xx only, and then without the token", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(202);
      await page.pass(DAY);

      assert.equal(page.requests.length, 1);
      assert.equal(browser.record().done, 202);
      assert.equal("token" in browser.record().form, false);
      assert.deepEqual(page.types, ["recorded", "sent"]);
      assert.equal(page.timers.size, 0);
    });

    for (const status of FINAL)
      test(`${status} is final`, async () => {
        const browser = new Browser(file);
        const page = browser.open(TAG);
        page.say("declined");
        await page.last.answer(status);
        await page.pass(DAY);
        browser.open(TAG);

        assert.equal(page.requests.length, 1);
        assert.deepEqual(page.types, ["recorded", "rejected"]);
        assert.equal(page.told[1][1].status, status);
        assert.equal("token" in browser.record().form, false);
      });

    for (const status of RETRIED)
      test(`${status} is asked again, with the same id`, async () => {
        const page = open();
        page.say("declined");
        await page.last.answer(status);
        await page.pass(10 * SECOND);

        assert.deepEqual(page.requests.map(({ form }) => form.tries), ["1", "2"]);
        assert.equal(page.requests[0].form.id, page.requests[1].form.id);
        assert.deepEqual(page.types, ["recorded", "retry"]);
      });

    test("a refused answer may be given again", async () => {
      const page = open();
      page.say("declined");
      await page.last.answer(400);
      page.say("declined");

      assert.equal(page.requests.length, 2);
      assert.notEqual(page.requests[0].form.id, page.requests[1].form.id);
    });

    test("the backoff doubles up to five minutes, under full jitter", async () => {
      const waits = [];
      const page = open(TAG, { dice: 0.999 });
      page.say("declined");
      for (let n = 0; n < 14; n++) {
        const before = page.browser.now;
        const count = page.requests.length;
        await page.last.fail();
        while (page.requests.length == count) await page.pass(SECOND);
        waits.push(Math.round((page.browser.now - before) / SECOND));
      }
      assert.deepEqual(waits.slice(0, 7), [3, 5, 9, 17, 33, 65, 129]);
      assert.deepEqual(waits.slice(9), [301, 301, 301, 301, 301]);
    });

    test("the dice may come to the shortest wait", async () => {
      const page = open(TAG, { dice: 0 });
      page.say("declined");
      await page.last.fail();
      await page.pass(10);

      assert.equal(page.requests.length, 2);
    });

    test("Retry-After is kept, even by a new page, up to five minutes", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(429, { "Retry-After": "9999" });
      await page.fire("online");
      await page.pass(4 * MINUTE);
      await page.fire("pagehide");
      browser.now += 3 * SECOND;
      const next = browser.open(TAG);
      await next.pass(10 * SECOND);
      assert.equal(page.requests.length + next.requests.length, 1);

      await next.pass(MINUTE);

      assert.equal(next.requests.length, 1);
    });

    test("tries stay within what the wire allows", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      const record = browser.record();
      record.form.tries = 998;
      browser.storage["offerChoice:choiceOFFER-1"] = JSON.stringify(record);
      await page.pass(MINUTE);
      await page.last.fail();
      await page.pass(10 * MINUTE);

      assert.deepEqual(page.requests.slice(1, 3).map(({ form }) => form.tries), ["999", "999"]);
    });

    test("401 stops every timer until there is another token", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(401);
      await page.pass(DAY);
      await page.fire("online");
      await page.fire("pagehide");
      assert.equal(page.requests.length, 1);
      assert.deepEqual([page.types, page.told[1][1].status], [["recorded", "retry"], 401]);

      const next = browser.open({ ...TAG, token: "b.token" });

      assert.equal(next.last.form.token, "b.token");
      assert.equal(next.last.form.id, page.last.form.id);
    });

    test("a page without a token for the offer leaves it alone", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(401);

      const other = browser.open({ token: "c.token", offer: "OFFER-2", shown: "off" });

      assert.equal(other.requests.length, 0);
    });

    test("a fresher token is used for what is still waiting", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.fail();

      const next = browser.open({ ...TAG, token: "b.token" });

      assert.equal(next.last.form.token, "b.token");
    });

    test("a request that is never answered is repeated after its lease", async () => {
      const page = open();
      page.say("declined");
      await page.pass(29 * SECOND);
      assert.equal(page.requests.length, 1);

      await page.pass(2 * SECOND);
      assert.equal(page.requests.length, 2);
    });

    test("another tab waits for the lease", async () => {
      const browser = new Browser(file);
      browser.open(TAG).say("declined");
      const tab = browser.open(TAG);
      await tab.fire("online");
      await tab.pass(29 * SECOND);
      assert.equal(tab.requests.length, 0);

      await tab.pass(3 * SECOND);

      assert.equal(tab.requests.length, 1);
    });

    test("tabs whose timers run out together send once", async () => {
      const browser = new Browser(file);
      const tabs = [0.1, 0.9].map((dice) => browser.open(TAG, { dice }));
      tabs[0].say("declined");
      await tabs[0].last.fail();
      await tabs[1].fire("pageshow");
      assert.equal(tabs[1].requests.length, 1);
      await tabs[1].last.fail();
      for (let n = 0; n < 100; n++) for (const tab of tabs) await tab.pass(50);

      assert.equal(tabs[0].requests.length + tabs[1].requests.length, 3);
    });

    test("leaving with a request under way sends nothing; the next page asks soon", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.fire("pagehide");
      await page.fire("visibilitychange");
      assert.equal(page.requests.length, 1);

      const next = browser.open(TAG);
      assert.equal(next.requests.length, 0);
      await next.pass(4 * SECOND);

      assert.equal(next.requests.length, 1);
    });

    test("a hurried customer does not put it off from page to page", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.fire("pagehide");
      let sent = 0;
      for (let n = 0; n < 4; n++) {
        const next = browser.open(TAG);
        await next.pass(0.9 * SECOND);
        await next.fire("pagehide");
        sent += next.requests.length;
      }

      assert.equal(sent, 1);
    });

    test("leaving between two attempts makes another one", async () => {
      const page = open();
      page.say("declined");
      await page.last.fail();
      await page.fire("pagehide");
      await page.fire("visibilitychange");

      assert.equal(page.requests.length, 2);
      assert.equal(page.last.keepalive, true);
    });

    test("without keepalive a beacon leaves instead", async () => {
      const page = open(TAG, { globals: { Request: class {} } });
      page.say("declined");
      await page.fire("pagehide");
      await page.fire("visibilitychange");

      assert.equal(page.requests.length, 1);
      assert.deepEqual(page.beacons.map(({ choice }) => choice), ["declined"]);
    });

    for (const type of ["online", "pageshow", "visibilitychange"])
      test(`${type} cuts the backoff short`, async () => {
        const page = open();
        page.say("declined");
        await page.last.fail();
        await page.fire(type);

        assert.equal(page.requests.length, 2);
      });

    test("a later page sends what is waiting", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.fail();

      const next = browser.open({ endpoint: "https://other.example" });

      assert.equal(next.last.form.id, page.last.form.id);
      assert.equal(next.last.url, "https://other.example/v1/choices");
    });

    test("a clock that is set back neither delays nor reorders", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.fail();
      browser.now -= 30 * DAY;
      const next = browser.open(TAG);
      assert.equal(next.requests.length, 1);

      next.say("accepted");

      assert.equal(Number(next.last.form.seq), Number(page.last.form.seq) + 1);
      assert.equal(Number(next.last.form.at), browser.now);
    });

    test("after seven days an unsent answer is given up, loudly; a sent one silently", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(401);
      page.say("accepted", { offer: "OFFER-2" });
      await page.last.answer(202);
      browser.now += 7 * DAY + 1;

      const next = browser.open({});

      const told = next.told.map(([type, { offer }]) => [type, offer]);
      assert.deepEqual(told, [["expired", "OFFER-1"]]);
      assert.deepEqual(Object.keys(browser.storage), []);
    });

    test("the answer to an old request does not acknowledge the new answer", async () => {
      const browser = new Browser(file);
      const page = browser.open(TAG);
      page.say("declined");
      page.say("accepted");
      await page.requests[0].answer(202);
      assert.equal(browser.record().done, undefined);

      await page.requests[1].answer(202);

      assert.equal(browser.record().done, 202);
    });

    test("the same answer after its acknowledgement is no news, another one is", async () => {
      const page = open();
      page.say("declined");
      await page.last.answer(202);
      page.say("declined");
      assert.equal(page.requests.length, 1);

      page.say("accepted");

      assert.equal(page.requests.length, 2);
      assert.equal(page.last.form.token, "a.token");
    });

    test("no event shows the token", async () => {
      const page = open();
      page.say("declined");
      await page.last.answer(503);
      await page.pass(10 * SECOND);
      await page.last.answer(202);

      assert.deepEqual(page.types, ["recorded", "retry", "sent"]);
      assert.equal(JSON.stringify(page.told).includes("token"), false);
    });

    test("denied storage: the page's memory does", async () => {
      const deny = () => {
        throw new Error("SecurityError");
      };
      const page = open(TAG, { storage: deny });
      page.say("declined");
      await page.last.fail();
      await page.pass(10 * SECOND);
      await page.last.answer(202);
      page.say("declined");

      assert.equal(page.requests.length, 2);
    });

    test("full storage: the page's memory does", async () => {
      const full = new Proxy({}, { set: () => { throw new Error("QuotaExceededError"); } });
      const page = open(TAG, { storage: full });
      page.say("declined");
      await page.last.fail();
      await page.pass(10 * SECOND);

      assert.deepEqual(page.requests.map(({ form }) => form.tries), ["1", "2"]);
    });

    for (const [name, fetch] of Object.entries({
      throws: () => { throw new Error("patched"); },
      rejects: () => Promise.reject(new Error("patched")),
    }))
      test(`a fetch that ${name} is a failed attempt; a beacon leaves with the page`, async () => {
        const page = open(TAG, { globals: { fetch } });
        page.say("declined");
        await settled();
        assert.deepEqual(page.types, ["recorded", "retry"]);

        await page.fire("pagehide");

        assert.equal(page.beacons.length, 1);
      });

    test("a spoiled record is told and spoils no other", async () => {
      const browser = new Browser(file);
      browser.storage["offerChoice:choiceA"] = "{}";
      browser.storage["offerChoice:choiceB"] = "{";
      const page = browser.open(TAG);
      page.say("declined");
      await page.last.answer(202);

      assert.equal(page.answers.length, 1);
      assert.equal(browser.record().done, 202);
      assert.ok(page.types.includes("error"));
    });

    test("what the shop itself has stored is not ours", () => {
      const browser = new Browser(file);
      const theirs = '{"form":{"offer":"X","token":"a.b","at":1}}';
      browser.storage["cart"] = theirs;
      const page = browser.open(TAG);

      assert.deepEqual([page.requests, page.told], [[], []]);
      assert.equal(browser.storage["cart"], theirs);
    });
  });
