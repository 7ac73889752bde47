BEGIN TRANSACTION;
CREATE TABLE backup_codes (
	user_id VARCHAR(36) NOT NULL, 
	code_hash VARCHAR(64) NOT NULL, 
	used_at BIGINT, 
	CONSTRAINT pk_backup_codes PRIMARY KEY (user_id, code_hash), 
	CONSTRAINT fk_backup_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','74118418055acc22f3eb8d79c8c4c8933ad83eb9852cfd828e525be405d5c894',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','026e321116118263b07fa1c139f92a7479e47814c8fcc60d8d6b874c0324027c',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','910d08d3b28aa691b72e9705137649d7b5b10a4ee1aac50c8b154b7b536dbad3',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','44e4d088decd00567c4b41fa456bc1f92c1e7960ec65302f89b16113e84c9276',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','e32497b970275aafd09d4c1dcb88b3d245eca11d30b974579c479884ce6af90d',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','969d8311c4ab5bfc5c99b06917d7ba6f072205591347d1c466ec0b0aeb8b4b7a',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','8f5d234abcad3dafe0715135c9727e98d2d69ed73febe96264cc54d4b968d855',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','981814f8e48f828988382740114073a48ad1c4100772e64ac91bbe0115f9e19f',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','684d162827053ea4033b2f1f6298e2195e8aef0e073511a1567d52445150b2e0',NULL);
INSERT INTO "backup_codes" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','6585333a0f2051711086ddf47d467ca7017a5b7ba8c5adcdb9d871d609bf4f03',NULL);
CREATE TABLE changes (
	id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	ident VARCHAR(128) NOT NULL, 
	revision BIGINT NOT NULL, 
	made_at BIGINT NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (id)
);
INSERT INTO "changes" VALUES(1,'setting','security/lockout',1,1796031664438);
INSERT INTO "changes" VALUES(2,'setting','security/mfa',1,1796031664489);
INSERT INTO "changes" VALUES(3,'setting','security/sessions',1,1796031664529);
INSERT INTO "changes" VALUES(4,'user','8866b912-d4dd-4fa8-8019-96c20a5a157a',1,1796031668423);
INSERT INTO "changes" VALUES(5,'user','b3ef84d1-36b2-4ed7-9ee3-8c1248668514',1,1796031668945);
INSERT INTO "changes" VALUES(6,'user','a6e671d2-24f8-4b12-b448-07cbfa9624de',1,1796031669106);
INSERT INTO "changes" VALUES(7,'user','8866b912-d4dd-4fa8-8019-96c20a5a157a',2,1796031669794);
CREATE TABLE cluster_note (
	name VARCHAR(64) NOT NULL, 
	text VARCHAR(500) NOT NULL, 
	author VARCHAR(64) NOT NULL, 
	epoch BIGINT NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	written_at BIGINT NOT NULL, 
	CONSTRAINT pk_cluster_note PRIMARY KEY (name)
);
INSERT INTO "cluster_note" VALUES('operator','made by the release before','admin',1796031640919,'node1',1796031664190);
CREATE TABLE cluster_settings (
	name VARCHAR(64) NOT NULL, 
	value VARCHAR(1000) NOT NULL, 
	CONSTRAINT pk_cluster_settings PRIMARY KEY (name)
);
CREATE TABLE data_keys (
	kid VARCHAR(32) NOT NULL, 
	wrapped VARCHAR(512) NOT NULL, 
	wrapped_by VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (kid)
);
INSERT INTO "data_keys" VALUES('8f8f436ec5807176bf0a1e49709e4ff5','AQrnJFXIinUqb9KRCSGnFtWkjz10IyVjIQEdKdIlUIKDOqnSyXuM5DVLy38jCBNs5nGKk7+gKbd5smUE+Q==','44b1cc795b953dd8ba055e73e2b76af4',1796031669644);
CREATE TABLE epochs (
	epoch BIGINT NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	boot_id VARCHAR(64) NOT NULL, 
	claimed_at BIGINT NOT NULL, 
	CONSTRAINT pk_epochs PRIMARY KEY (epoch)
);
INSERT INTO "epochs" VALUES(1796031640919,'node1','a19a4ef86785f4fd',1796031641017);
CREATE TABLE fence (
	id INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	boot_id VARCHAR(64) NOT NULL, 
	claimed_at BIGINT NOT NULL, 
	CONSTRAINT pk_fence PRIMARY KEY (id), 
	CONSTRAINT ck_fence_single_row CHECK (id = 1)
);
INSERT INTO "fence" VALUES(1,1796031640919,'node1','a19a4ef86785f4fd',1796031664528);
CREATE TABLE limit_counters (
	name VARCHAR(64) NOT NULL, 
	text VARCHAR(200) NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_limit_counters PRIMARY KEY (name)
);
CREATE TABLE lockouts (
	subject_hash VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	shown VARCHAR(64) NOT NULL, 
	level INTEGER NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	CONSTRAINT pk_lockouts PRIMARY KEY (subject_hash)
);
INSERT INTO "lockouts" VALUES('5a6a6d3ff0e8f14a653bf03be0efa29e2e542c573f84be4127250b39dc26b995','user','dora',1,1796031670557,1796067670557);
CREATE TABLE pending_logins (
	token_hash VARCHAR(64) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	auth_epoch BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	client VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_pending_logins PRIMARY KEY (token_hash), 
	CONSTRAINT fk_pending_logins_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE rppam_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT rppam_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "rppam_schema" VALUES('0003');
CREATE TABLE sessions (
	id VARCHAR(36) NOT NULL, 
	token_hash VARCHAR(64) NOT NULL, 
	user_id VARCHAR(36), 
	subject VARCHAR(256) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	auth_epoch BIGINT NOT NULL, 
	revision BIGINT NOT NULL, 
	mfa BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	last_seen_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	idle_ms BIGINT NOT NULL, 
	client VARCHAR(64) NOT NULL, 
	agent VARCHAR(200) NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	ended_at BIGINT, 
	ended_why VARCHAR(64), 
	CONSTRAINT pk_sessions PRIMARY KEY (id), 
	CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash), 
	CONSTRAINT fk_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "sessions" VALUES('3c9a5542-29d0-b4ac-ba64-fb59171c1213','3e92aa6a74e53dd6458c8fca4554d373e2c51c71554a764f750bcd5cad1e704c',NULL,'admin','host',0,1,0,1796031653638,1796031670663,1796035253638,31622460000,'','rppam token','node1',NULL,NULL);
INSERT INTO "sessions" VALUES('01a22bd4-645d-7c30-a916-ba68b4a4b817','0c7856fdeb0fee698246b9cdbe6dcb6a8516458c2258ad6aa82b872bf2898aec','8866b912-d4dd-4fa8-8019-96c20a5a157a','anna','login',1,1,0,1796031669375,1796031669375,1796636469375,86460000,'127.0.0.1','python-httpx/0.28.1','node1',NULL,NULL);
INSERT INTO "sessions" VALUES('01a22bd4-6674-77a3-90c4-2db7be2163fd','7bd72f8c49f8e703864d5dd4f651884f82f56da9f59bbf267fb5414d92af2db2','b3ef84d1-36b2-4ed7-9ee3-8c1248668514','ben','login',1,1,0,1796031669886,1796031669886,1796636469886,86460000,'127.0.0.1','python-httpx/0.28.1','node1',NULL,NULL);
CREATE TABLE settings (
	name VARCHAR(100) NOT NULL, 
	revision BIGINT NOT NULL, 
	value TEXT NOT NULL, 
	author VARCHAR(256) NOT NULL, 
	epoch BIGINT NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	changed_at BIGINT NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY (name)
);
INSERT INTO "settings" VALUES('security/lockout',1,'{"userFailures": 3, "addressFailures": 500, "windowMinutes": 60, "lockMinutes": 600, "lockMinutesMax": 1440}','admin',1796031640919,'node1',1796031664406);
INSERT INTO "settings" VALUES('security/mfa',1,'{"mfaRequirement": "optional", "totpIssuer": "Takeover", "totpDigits": 8, "totpPeriodSeconds": 30, "backupCodeCount": 10}','admin',1796031640919,'node1',1796031664487);
INSERT INTO "settings" VALUES('security/sessions',1,'{"idleMinutes": 1440, "absoluteHours": 168}','admin',1796031640919,'node1',1796031664529);
CREATE TABLE settings_history (
	name VARCHAR(100) NOT NULL, 
	revision BIGINT NOT NULL, 
	value TEXT NOT NULL, 
	author VARCHAR(256) NOT NULL, 
	epoch BIGINT NOT NULL, 
	node VARCHAR(63) NOT NULL, 
	changed_at BIGINT NOT NULL, 
	CONSTRAINT pk_settings_history PRIMARY KEY (name, revision)
);
INSERT INTO "settings_history" VALUES('security/lockout',1,'{"userFailures": 3, "addressFailures": 500, "windowMinutes": 60, "lockMinutes": 600, "lockMinutesMax": 1440}','admin',1796031640919,'node1',1796031664406);
INSERT INTO "settings_history" VALUES('security/mfa',1,'{"mfaRequirement": "optional", "totpIssuer": "Takeover", "totpDigits": 8, "totpPeriodSeconds": 30, "backupCodeCount": 10}','admin',1796031640919,'node1',1796031664487);
INSERT INTO "settings_history" VALUES('security/sessions',1,'{"idleMinutes": 1440, "absoluteHours": 168}','admin',1796031640919,'node1',1796031664529);
CREATE TABLE user_roles (
	user_id VARCHAR(36) NOT NULL, 
	role VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_user_roles PRIMARY KEY (user_id, role), 
	CONSTRAINT fk_user_roles_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "user_roles" VALUES('e2481d82-b04e-425e-a71c-5762b57f200d','pam_admin');
INSERT INTO "user_roles" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','security_admin');
INSERT INTO "user_roles" VALUES('b3ef84d1-36b2-4ed7-9ee3-8c1248668514','security_admin');
INSERT INTO "user_roles" VALUES('a6e671d2-24f8-4b12-b448-07cbfa9624de','security_admin');
CREATE TABLE users (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	display_name VARCHAR(100) NOT NULL, 
	password_hash VARCHAR(255) NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	password_changed_at BIGINT NOT NULL, revision BIGINT DEFAULT '1' NOT NULL, auth_epoch BIGINT DEFAULT '1' NOT NULL, deleted_at BIGINT, totp_secret VARCHAR(512), totp_pending VARCHAR(512), totp_step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_users PRIMARY KEY (id), 
	CONSTRAINT uq_users_name UNIQUE (name)
);
INSERT INTO "users" VALUES('e2481d82-b04e-425e-a71c-5762b57f200d','admin','Administrator','$argon2id$v=19$m=19456,t=2,p=1$UstB5gPTDhkWlaBTWzXfgg$cUPDWi1a8prNvE4aTuZQ4gtW/XKgWuZxEyZgkUxXrpw',0,1796031640899,1796031640899,1,1,NULL,NULL,NULL,0);
INSERT INTO "users" VALUES('8866b912-d4dd-4fa8-8019-96c20a5a157a','anna','','$argon2id$v=19$m=19456,t=2,p=1$jXWD1Rz3t30R8HrffrkTnQ$SsHqh6pgDAn6xo+9HAjmp5gkmls7EsR81To0uzED99U',0,1796031668371,1796031668371,2,1,NULL,'8f8f436ec5807176bf0a1e49709e4ff5.AUrhP39aQPOPG0a0/hMkahvg6ZxjtGMOF8ZTdVybAjnADKde5Df13cptv7q2s5EBSxcDi789zHgl2rDGqFzz4kLIP0Wrpzq4vCJDW21D8l+5zU9cFrmF4VgYROuXbbQ=',NULL,59867722);
INSERT INTO "users" VALUES('b3ef84d1-36b2-4ed7-9ee3-8c1248668514','ben','','$argon2id$v=19$m=19456,t=2,p=1$s3QaMGcQ5a0pnXxFeyzsIg$nmqv0O3B0tj3EO7NSeTkAav9wxDED9eJLcnf7zN9ig8',0,1796031668938,1796031668938,1,1,NULL,NULL,NULL,0);
INSERT INTO "users" VALUES('a6e671d2-24f8-4b12-b448-07cbfa9624de','dora','','$argon2id$v=19$m=19456,t=2,p=1$vfkswZckTtWi/jyAJVzZPg$zLQgCMgk8fzoqZgLAQKcAER6e4EFHRrwaWSSM290FWI',0,1796031669103,1796031669103,1,1,NULL,NULL,NULL,0);
CREATE INDEX ix_sessions_user_id ON sessions (user_id);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE INDEX ix_pending_logins_expires_at ON pending_logins (expires_at);
CREATE INDEX ix_changes_made_at ON changes (made_at);
CREATE INDEX ix_limit_counters_expires_at ON limit_counters (expires_at);
COMMIT;
