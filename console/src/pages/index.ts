/** Every page: where it stands, what it is called, and for whom. */
import type { Component } from "svelte";
import { t } from "../lib/i18n.svelte";
import { may } from "../lib/session.svelte";
import Access from "./Access.svelte";
import Account from "./Account.svelte";
import Audit from "./Audit.svelte";
import Authority from "./Authority.svelte";
import Channels from "./Channels.svelte";
import Cluster from "./Cluster.svelte";
import Doctor from "./Doctor.svelte";
import Holds from "./Holds.svelte";
import Home from "./Home.svelte";
import Licence from "./Licence.svelte";
import Lockouts from "./Lockouts.svelte";
import Logins from "./Logins.svelte";
import Policies from "./Policies.svelte";
import Requests from "./Requests.svelte";
import Settings from "./Settings.svelte";
import Siem from "./Siem.svelte";
import Targets from "./Targets.svelte";
import Terminal from "./Terminal.svelte";
import Users from "./Users.svelte";
import VaultPages from "./VaultPages.svelte";

export interface PageOf {
  path: string;
  title: () => string;
  page: Component;
  may: () => boolean;
}

const anybody = (): boolean => true;

export const groups = (): { title: string; pages: PageOf[] }[] => [
  { title: "", pages: [{ path: "", title: () => t("Home"), page: Home, may: anybody }] },
  {
    title: t("Access"),
    pages: [
      { path: "targets", title: () => t("Targets"), page: Targets, may: anybody },
      { path: "terminal", title: () => t("Terminal"), page: Terminal, may: anybody },
      { path: "requests", title: () => t("Requests"), page: Requests, may: anybody },
      { path: "policies", title: () => t("Policies"), page: Policies, may: () => may.seeSecurity },
      { path: "vault", title: () => t("Vault"), page: VaultPages, may: anybody },
      { path: "access", title: () => t("Sessions"), page: Access, may: anybody },
      { path: "authority", title: () => t("SSH authority"), page: Authority, may: anybody },
    ],
  },
  {
    title: t("Operate"),
    pages: [
      { path: "cluster", title: () => t("Cluster"), page: Cluster, may: () => may.see },
      { path: "doctor", title: () => t("Doctor"), page: Doctor, may: () => may.see },
      { path: "audit", title: () => t("Audit"), page: Audit, may: () => may.audit },
      { path: "holds", title: () => t("Holds and erasure"), page: Holds, may: () => may.seeSecurity },
      { path: "notifications", title: () => t("Notifications"), page: Channels, may: () => may.seeSecurity },
      { path: "siem", title: () => t("SIEM targets"), page: Siem, may: () => may.seeSecurity },
    ],
  },
  {
    title: t("People"),
    pages: [
      { path: "users", title: () => t("Users and roles"), page: Users, may: () => may.seeSecurity },
      { path: "logins", title: () => t("Log-ins"), page: Logins, may: anybody },
      { path: "lockouts", title: () => t("Lockouts"), page: Lockouts, may: () => may.seeSecurity },
    ],
  },
  {
    title: t("System"),
    pages: [
      { path: "settings", title: () => t("Settings"), page: Settings, may: () => may.seeSecurity },
      { path: "licence", title: () => t("Licence"), page: Licence, may: () => may.see },
      { path: "account", title: () => t("My account"), page: Account, may: anybody },
    ],
  },
];
