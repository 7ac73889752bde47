/** Passkeys of this browser. Browsers take them on pages of a host name over HTTPS (or localhost) only. */
import { Problem } from "./api";
import { t } from "./i18n.svelte";

type Plain = Record<string, unknown>;

/** Whether this browser can use passkeys on this page at all. */
export function possible(): boolean {
  const bare = /^[\d.]+$|^\[/.test(location.hostname);
  return isSecureContext && !bare && typeof PublicKeyCredential !== "undefined" && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

/** A new passkey for these options; what the server is sent. */
export async function made(options: Plain): Promise<Plain> {
  return asked(() => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options as never) }));
}

/** The answer of one of the passkeys that are here. */
export async function answered(options: Plain): Promise<Plain> {
  return asked(() => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options as never) }));
}

async function asked(question: () => Promise<Credential | null>): Promise<Plain> {
  try {
    const found = (await question()) as PublicKeyCredential | null;
    if (found) return found.toJSON() as Plain;
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "InvalidStateError") throw new Problem(0, "", t("This authenticator has a passkey of your account already."), t("Use it, or take another authenticator."));
    if (name === "SecurityError") throw new Problem(0, "", t("The browser takes no passkey on this page."), t("Open the console by its host name over HTTPS."));
  }
  throw new Problem(0, "", t("No passkey was used."), t("It was cancelled, it took too long, or none on this device fits. Try again, or go on without one."));
}
