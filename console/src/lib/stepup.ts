/** A fresh second factor, asked for when the server wants one for what was just tried: a code, or a passkey. */
import { api } from "./api";
import { dialogs } from "./dialog.svelte";
import { t } from "./i18n.svelte";
import { answered, possible } from "./passkey";

type Proof = Record<string, unknown>;
/** What proves it, for the body of the request; nothing when it was given up. */
export async function stepUp(): Promise<Proof | undefined> {
  const [factor, passkeys] = await Promise.all([api.get("/api/v1/auth/mfa"), api.get("/api/v1/auth/webauthn")]);
  const byKey = possible() && passkeys.items.some((one) => one.site === location.hostname);
  return new Promise((done) => {
    const passkey = async (): Promise<void> => {
      const begun = await api.post("/api/v1/auth/webauthn/prove", { once: true });
      done({ passkey: { id: begun.id, credential: await answered(begun.options) } });
    };
    const cancelled = (): void => done(undefined);
    const title = t("Confirm that it is you");
    if (!factor.enrolled && !byKey) {
      dialogs.above = { title, cancelled, text: t("This takes a second factor, and your account has none that works here. Add one on the page of your account."), confirm: t("To my account"), run: async () => {
        done(undefined);
        dialogs.open = undefined;
        location.hash = "#/account";
      } };
    } else if (!factor.enrolled) {
      dialogs.above = { title, cancelled, text: t("Your passkey proves it."), confirm: t("Use a passkey"), run: passkey };
    } else {
      dialogs.above = {
        title, cancelled, confirm: t("Confirm"),
        text: t("This takes a second factor that is given just now."),
        fields: [{ name: "code", label: t("Code from your authenticator, or a backup code"), kind: "code" }],
        other: byKey ? { label: t("Use a passkey"), run: passkey } : undefined,
        run: async ({ code }) => done({ code }),
      };
    }
  });
}
