-- Written by 'rppam init --hosts'. Holds no password: what stands here is what PostgreSQL keeps of it.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
DO $$check$$
BEGIN
    IF EXISTS (SELECT FROM pg_authid WHERE rolname = '$name' AND rolpassword IS DISTINCT FROM '$verifier') THEN
        RAISE EXCEPTION 'the role $name is there already, with another password: of another cluster, or changed since. '
            'Nothing was changed. Use another PostgreSQL, or give the URL of this one by --database';
    END IF;
END
$$check$$;
SELECT 'CREATE ROLE $name LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$name') \gexec
ALTER ROLE $name LOGIN PASSWORD '$verifier';
SELECT 'CREATE DATABASE $name OWNER $name' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$name') \gexec
