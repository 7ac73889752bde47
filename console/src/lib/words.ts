/**
 * Words for what the server names by one word: roles, states, kinds and rights.
 *
 * What is not known here, as from a newer node, is shown as the server says it. Whole sentences of the server stay as
 * they are, in English: the page marks them with `lang="en"`, so that a screen reader speaks them right.
 */
import { t } from "./i18n.svelte";

type Words = Record<string, string>;
const or = (known: Words, word: string | null | undefined): string => (word ? (known[word] ?? word) : "–");

export const ROLES = ["pam_user", "pam_approver", "pam_auditor", "security_admin", "pam_admin"] as const;
/** Of an account. */
export const roleWord = (one: string | null | undefined): string =>
  or({ pam_user: t("User"), pam_approver: t("Approver"), pam_auditor: t("Auditor"), security_admin: t("Security administrator"), pam_admin: t("Administrator") }, one);

/** Of a member of the cluster. */
export const memberRole = (one: string | null | undefined): string => or({ leader: t("leader"), standby: t("standby"), witness: t("witness") }, one);
export const memberState = (one: string | null | undefined): string =>
  one ? or({ healthy: t("healthy"), suspect: t("suspect"), unreachable: t("unreachable"), unknown: t("unknown"), maintenance: t("in maintenance") }, one) : t("gone");
export const voterKind = (one: string): string => or({ member: t("member"), witness: t("witness"), store: t("store") }, one);

/** How a failover test takes the leader away, and how far the test is. */
export const testMethod = (one: string): string =>
  or({ switchover: t("switchover"), stop: t("stop"), kill: t("kill"), isolate: t("isolate"), "redis-failover": t("failover of Redis") }, one);
export const testState = (one: string): string => or({ asked: t("asked for"), running: t("running"), finished: t("over"), interrupted: t("interrupted") }, one);

/** Of an entry of the vault. */
export const entryType = (one: string): string =>
  or({
    password: t("password"), "ssh-key": t("SSH key"), "ssh-ca-account": t("account by SSH authority"), database: t("database"), ldap: "LDAP",
    "api-token": t("API token"), certificate: t("certificate"), "totp-seed": t("seed of one-time codes"), note: t("note"), file: t("file"),
  }, one);
export const versionState = (one: string): string => or({ current: t("current"), previous: t("earlier"), staged: t("to be set"), failed: t("not taken") }, one);

/** Why a secret is changed on its target, and how far that is. */
export const rotationCause = (one: string): string => or({ use: t("after a check-out"), schedule: t("by time"), order: t("on order") }, one);
export const rotationPhase = (one: string): string =>
  or({ waiting: t("waits"), staged: t("is made"), changing: t("is being set"), uncertain: t("unclear"), done: t("changed"), cancelled: t("given up") }, one);

/** Of a target. */
export const targetKind = (one: string): string =>
  or({
    ssh: "SSH", rdp: "RDP", vnc: "VNC", postgresql: "PostgreSQL", mysql: "MySQL", mssql: "SQL Server", oracle: "Oracle", ldap: "LDAP", ad: "Active Directory", http: "HTTP",
    network: t("network device"), other: t("something else"),
  }, one);

/** By what something is known that the SSH authority has revoked. */
export const revokedKind = (one: string): string => or({ serial: t("one certificate"), "key-id": t("all of a key id"), key: t("all for a key") }, one);

export const sessionKind = (one: string): string => or({ ssh: "SSH", terminal: t("terminal in the browser") }, one);
/** What was recorded, where it has no name of its own. */
export const recordingKind = (one: string): string => or({ shell: t("shell"), exec: t("command"), sftp: "SFTP" }, one);
export const recordingState = (one: string): string => or({ live: t("live"), done: t("complete"), lost: t("without its end"), deleted: t("deleted") }, one);

/** What somebody may do with an account or entry, or has asked for. */
export const rightWord = (one: string): string =>
  or({ list: t("see that it is there"), use: t("connect with it"), "use-shell": t("connect, for shells alone"), "use-files": t("connect, for files alone"), reveal: t("see the secret"), checkout: t("check it out"), manage: t("manage"), audit: t("see who used it") }, one);

export const requestState = (one: string): string =>
  or({
    pending: t("waits for a decision"), approved: t("approved"), active: t("active"), ended: t("ended"), denied: t("denied"), cancelled: t("taken back"), expired: t("too late"),
    revoked: t("revoked"),
  }, one);

/** Of an act in the ledger. */
export const outcomeWord = (one: string): string => or({ success: t("success"), failure: t("failure") }, one);
