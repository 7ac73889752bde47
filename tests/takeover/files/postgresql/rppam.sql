SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.backup_codes (
    user_id character varying(36) NOT NULL,
    code_hash character varying(64) NOT NULL,
    used_at bigint
);
CREATE TABLE public.changes (
    id bigint NOT NULL,
    kind character varying(16) NOT NULL,
    ident character varying(128) NOT NULL,
    revision bigint NOT NULL,
    made_at bigint NOT NULL
);
CREATE SEQUENCE public.changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.changes_id_seq OWNED BY public.changes.id;
CREATE TABLE public.cluster_note (
    name character varying(64) NOT NULL,
    text character varying(500) NOT NULL,
    author character varying(64) NOT NULL,
    epoch bigint NOT NULL,
    node character varying(63) NOT NULL,
    written_at bigint NOT NULL
);
CREATE TABLE public.cluster_settings (
    name character varying(64) NOT NULL,
    value character varying(1000) NOT NULL
);
CREATE TABLE public.data_keys (
    kid character varying(32) NOT NULL,
    wrapped character varying(512) NOT NULL,
    wrapped_by character varying(32) NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.epochs (
    epoch bigint NOT NULL,
    node character varying(63) NOT NULL,
    boot_id character varying(64) NOT NULL,
    claimed_at bigint NOT NULL
);
CREATE TABLE public.fence (
    id integer NOT NULL,
    epoch bigint NOT NULL,
    node character varying(63) NOT NULL,
    boot_id character varying(64) NOT NULL,
    claimed_at bigint NOT NULL,
    CONSTRAINT ck_fence_single_row CHECK ((id = 1))
);
CREATE TABLE public.limit_counters (
    name character varying(64) NOT NULL,
    text character varying(200) NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.lockouts (
    subject_hash character varying(64) NOT NULL,
    kind character varying(16) NOT NULL,
    shown character varying(64) NOT NULL,
    level integer NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.pending_logins (
    token_hash character varying(64) NOT NULL,
    user_id character varying(36) NOT NULL,
    auth_epoch bigint NOT NULL,
    attempts integer NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    client character varying(64) NOT NULL
);
CREATE TABLE public.rppam_schema (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.sessions (
    id character varying(36) NOT NULL,
    token_hash character varying(64) NOT NULL,
    user_id character varying(36),
    subject character varying(256) NOT NULL,
    kind character varying(16) NOT NULL,
    auth_epoch bigint NOT NULL,
    revision bigint NOT NULL,
    mfa boolean NOT NULL,
    created_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    idle_ms bigint NOT NULL,
    client character varying(64) NOT NULL,
    agent character varying(200) NOT NULL,
    node character varying(63) NOT NULL,
    ended_at bigint,
    ended_why character varying(64)
);
CREATE TABLE public.settings (
    name character varying(100) NOT NULL,
    revision bigint NOT NULL,
    value text NOT NULL,
    author character varying(256) NOT NULL,
    epoch bigint NOT NULL,
    node character varying(63) NOT NULL,
    changed_at bigint NOT NULL
);
CREATE TABLE public.settings_history (
    name character varying(100) NOT NULL,
    revision bigint NOT NULL,
    value text NOT NULL,
    author character varying(256) NOT NULL,
    epoch bigint NOT NULL,
    node character varying(63) NOT NULL,
    changed_at bigint NOT NULL
);
CREATE TABLE public.user_roles (
    user_id character varying(36) NOT NULL,
    role character varying(32) NOT NULL
);
CREATE TABLE public.users (
    id character varying(36) NOT NULL,
    name character varying(64) NOT NULL,
    display_name character varying(100) NOT NULL,
    password_hash character varying(255) NOT NULL,
    disabled boolean NOT NULL,
    created_at bigint NOT NULL,
    password_changed_at bigint NOT NULL,
    revision bigint DEFAULT '1'::bigint NOT NULL,
    auth_epoch bigint DEFAULT '1'::bigint NOT NULL,
    deleted_at bigint,
    totp_secret character varying(512),
    totp_pending character varying(512),
    totp_step bigint DEFAULT '0'::bigint NOT NULL
);
ALTER TABLE ONLY public.changes ALTER COLUMN id SET DEFAULT nextval('public.changes_id_seq'::regclass);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'b51bb1d07dda02138cf940a57103ef3c971ae67ddc7f4a55e7a62284f249d0e4', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '598d90f524aecafcaeb3be587bcfe2cc13614db9e799a35419f4be6c1da2b0a6', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'bd87b770d9b025d6883f0c90bbb752ff353b1abf967deb4c36057665d238cbb0', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'f9f56c2e8ed480da5582a4d7e6909bec6212b05e30a530fd68fec4b4323ee74d', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '95ed9a6d23e43198622e6a144654795e7af71c1b6ee8591f0500fa6105f1b644', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '0d3ab36baa8f4dc7bb8f1a25046d5c9eb18a20186a5b582020602bfde5ce601e', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'af67423def1f3da4b483862fade85d3720bf03e23e889b6867d33df4905a6ca2', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '67e0e9e762cb1d0ef2e92baa9654c4aee5f47a50572deabb9870593aac0860e3', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '0ddc4083cfc3ba0418ca186dd6ab8cee42fd06dfb26e0c2b47dbf89cc9c868c6', NULL);
INSERT INTO public.backup_codes VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', '5ea853d2b0079c0d5c0860a86605ab2ef4c410c5357a9eaebf96597115269386', NULL);
INSERT INTO public.changes VALUES (1, 'setting', 'security/lockout', 1, 1796031696035);
INSERT INTO public.changes VALUES (2, 'setting', 'security/mfa', 1, 1796031696244);
INSERT INTO public.changes VALUES (3, 'setting', 'security/sessions', 1, 1796031696294);
INSERT INTO public.changes VALUES (4, 'user', '6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 1, 1796031699536);
INSERT INTO public.changes VALUES (5, 'user', 'bbcd8a1c-a306-42f7-8e8b-cedf8eb2ee8d', 1, 1796031699732);
INSERT INTO public.changes VALUES (6, 'user', '3417e9d1-393b-4fa9-befa-346460cdf0dd', 1, 1796031700066);
INSERT INTO public.changes VALUES (7, 'user', '6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 2, 1796031701128);
INSERT INTO public.cluster_note VALUES ('operator', 'made by the release before', 'admin', 1796031692772, 'node1', 1796031695788);
INSERT INTO public.data_keys VALUES ('6d2a1d0e7dc93a7f9aeb3928f58d97c4', 'Ab9FTSDC4BAPgIzyq29Skq+vTZ4JOSMaLNw+r0OMF+8HdrIo/44miXLG7Xc9Pv7fONZ+pbWSWpGr0GdsFw==', 'eca66da3301cb285860cacac16a61487', 1796031700888);
INSERT INTO public.epochs VALUES (1796031692772, 'node1', '60b2834b2df5e5f8', 1796031695760);
INSERT INTO public.fence VALUES (1, 1796031692772, 'node1', '60b2834b2df5e5f8', 1796031696282);
INSERT INTO public.lockouts VALUES ('5a6a6d3ff0e8f14a653bf03be0efa29e2e542c573f84be4127250b39dc26b995', 'user', 'dora', 1, 1796031702357, 1796067702357);
INSERT INTO public.rppam_schema VALUES ('0003');
INSERT INTO public.sessions VALUES ('2cd3634b-98ee-4ee6-5411-ca2f6e637441', '5f0b2573a9f3bddcd97f3dd6cf21b25d1b2fa273826516658ca587869996b3eb', NULL, 'admin', 'host', 0, 1, false, 1796031695489, 1796031695489, 1796035295489, 31622460000, '', 'rppam token', 'node1', NULL, NULL);
INSERT INTO public.sessions VALUES ('01a22bd4-ddf4-70cd-a8f2-58d36bcf56ba', 'f7f640376f674a600fb3a8034371f15d5796fd3bf91fa26c11d9b0f1372d49b8', '6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'anna', 'login', 1, 1, false, 1796031700511, 1796031700511, 1796636500511, 86460000, '127.0.0.1', 'python-httpx/0.28.1', 'node1', NULL, NULL);
INSERT INTO public.sessions VALUES ('01a22bd4-e138-79e3-a069-87b053f26554', '3a1721510745d567b0da7f18b31aef810fe6f2cc908adae31860a9500666ee47', 'bbcd8a1c-a306-42f7-8e8b-cedf8eb2ee8d', 'ben', 'login', 1, 1, false, 1796031701335, 1796031701335, 1796636501335, 86460000, '127.0.0.1', 'python-httpx/0.28.1', 'node1', NULL, NULL);
INSERT INTO public.settings VALUES ('security/lockout', 1, '{"userFailures": 3, "addressFailures": 500, "windowMinutes": 60, "lockMinutes": 600, "lockMinutesMax": 1440}', 'admin', 1796031692772, 'node1', 1796031696007);
INSERT INTO public.settings VALUES ('security/mfa', 1, '{"mfaRequirement": "optional", "totpIssuer": "Takeover", "totpDigits": 8, "totpPeriodSeconds": 30, "backupCodeCount": 10}', 'admin', 1796031692772, 'node1', 1796031696180);
INSERT INTO public.settings VALUES ('security/sessions', 1, '{"idleMinutes": 1440, "absoluteHours": 168}', 'admin', 1796031692772, 'node1', 1796031696292);
INSERT INTO public.settings_history VALUES ('security/lockout', 1, '{"userFailures": 3, "addressFailures": 500, "windowMinutes": 60, "lockMinutes": 600, "lockMinutesMax": 1440}', 'admin', 1796031692772, 'node1', 1796031696007);
INSERT INTO public.settings_history VALUES ('security/mfa', 1, '{"mfaRequirement": "optional", "totpIssuer": "Takeover", "totpDigits": 8, "totpPeriodSeconds": 30, "backupCodeCount": 10}', 'admin', 1796031692772, 'node1', 1796031696180);
INSERT INTO public.settings_history VALUES ('security/sessions', 1, '{"idleMinutes": 1440, "absoluteHours": 168}', 'admin', 1796031692772, 'node1', 1796031696292);
INSERT INTO public.user_roles VALUES ('3402cb72-922b-4fae-b8ba-58b0e4b866bb', 'pam_admin');
INSERT INTO public.user_roles VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'security_admin');
INSERT INTO public.user_roles VALUES ('bbcd8a1c-a306-42f7-8e8b-cedf8eb2ee8d', 'security_admin');
INSERT INTO public.user_roles VALUES ('3417e9d1-393b-4fa9-befa-346460cdf0dd', 'security_admin');
INSERT INTO public.users VALUES ('3402cb72-922b-4fae-b8ba-58b0e4b866bb', 'admin', 'Administrator', '$argon2id$v=19$m=19456,t=2,p=1$16ItlBMxGSgIyQOL8bLvHg$xcZQR+nNX8yMB445T7GRCWPo24WSYbIGY6hwAN3U+us', false, 1796031694350, 1796031694350, 1, 1, NULL, NULL, NULL, 0);
INSERT INTO public.users VALUES ('bbcd8a1c-a306-42f7-8e8b-cedf8eb2ee8d', 'ben', '', '$argon2id$v=19$m=19456,t=2,p=1$EmXpDuIM6mjtOeWQeN0miQ$ZvLAOohbXGzhTLlvRhxlsJTpT27XTJsUOoLXrwqRMw4', false, 1796031699683, 1796031699683, 1, 1, NULL, NULL, NULL, 0);
INSERT INTO public.users VALUES ('3417e9d1-393b-4fa9-befa-346460cdf0dd', 'dora', '', '$argon2id$v=19$m=19456,t=2,p=1$ZBz2LQ3+GMnUJhyhQ0kj5w$CBwZ3md6+1/qOxGMvPCR0nGeF5YPnZdrhVG90GxujWU', false, 1796031700043, 1796031700043, 1, 1, NULL, NULL, NULL, 0);
INSERT INTO public.users VALUES ('6847ec31-1553-46b2-8a0a-ba0b4ff2e7dc', 'anna', '', '$argon2id$v=19$m=19456,t=2,p=1$+xv+0ugRtheJ63t/ZnbWYg$XNW1+4VsHOO8lL+OpyJA/pWFFh2524+0sUngj6SFf2A', false, 1796031699495, 1796031699495, 2, 1, NULL, '6d2a1d0e7dc93a7f9aeb3928f58d97c4.AfJhEoVDhsm9/Po3Y14TrFdeCWPoEcEpI4HcDje7fV3rvXwQUwQz3fMfLre7f5qiyC8+wwjZYTIL/YyJuA6vQGiYOHV232Ahy03V+AKNBJF9Qqcrhdr5fCBOearAbBs=', NULL, 59867723);
SELECT pg_catalog.setval('public.changes_id_seq', 7, true);
ALTER TABLE ONLY public.backup_codes
    ADD CONSTRAINT pk_backup_codes PRIMARY KEY (user_id, code_hash);
ALTER TABLE ONLY public.changes
    ADD CONSTRAINT pk_changes PRIMARY KEY (id);
ALTER TABLE ONLY public.cluster_note
    ADD CONSTRAINT pk_cluster_note PRIMARY KEY (name);
ALTER TABLE ONLY public.cluster_settings
    ADD CONSTRAINT pk_cluster_settings PRIMARY KEY (name);
ALTER TABLE ONLY public.data_keys
    ADD CONSTRAINT pk_data_keys PRIMARY KEY (kid);
ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT pk_epochs PRIMARY KEY (epoch);
ALTER TABLE ONLY public.fence
    ADD CONSTRAINT pk_fence PRIMARY KEY (id);
ALTER TABLE ONLY public.limit_counters
    ADD CONSTRAINT pk_limit_counters PRIMARY KEY (name);
ALTER TABLE ONLY public.lockouts
    ADD CONSTRAINT pk_lockouts PRIMARY KEY (subject_hash);
ALTER TABLE ONLY public.pending_logins
    ADD CONSTRAINT pk_pending_logins PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT pk_sessions PRIMARY KEY (id);
ALTER TABLE ONLY public.settings
    ADD CONSTRAINT pk_settings PRIMARY KEY (name);
ALTER TABLE ONLY public.settings_history
    ADD CONSTRAINT pk_settings_history PRIMARY KEY (name, revision);
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT pk_user_roles PRIMARY KEY (user_id, role);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
ALTER TABLE ONLY public.rppam_schema
    ADD CONSTRAINT rppam_schema_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_name UNIQUE (name);
CREATE INDEX ix_changes_made_at ON public.changes USING btree (made_at);
CREATE INDEX ix_limit_counters_expires_at ON public.limit_counters USING btree (expires_at);
CREATE INDEX ix_pending_logins_expires_at ON public.pending_logins USING btree (expires_at);
CREATE INDEX ix_sessions_expires_at ON public.sessions USING btree (expires_at);
CREATE INDEX ix_sessions_user_id ON public.sessions USING btree (user_id);
ALTER TABLE ONLY public.backup_codes
    ADD CONSTRAINT fk_backup_codes_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.pending_logins
    ADD CONSTRAINT fk_pending_logins_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT fk_user_roles_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
