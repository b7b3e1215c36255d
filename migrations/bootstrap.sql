-- Makes the roles. Run once per cluster by a superuser (`muster bootstrap`); running it again changes nothing.
-- Roles are LOGIN without a password: who may become which is the business of pg_hba.conf and pg_ident.conf.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['muster_owner', 'muster_responder', 'muster_worker', 'muster_maintenance'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', name);
        END IF;
    END LOOP;
END
$$;

-- A request that takes longer than this is a bug or an attack; handlers that need more say so for one transaction.
ALTER ROLE muster_responder SET statement_timeout = '5s';
ALTER ROLE muster_responder SET lock_timeout = '2s';
ALTER ROLE muster_responder SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE muster_worker SET idle_in_transaction_session_timeout = '5min';
-- A request's statements are known and small: they are planned once per connection. Left to itself PostgreSQL plans a
-- page anew each time, because a plan for a LIMIT that it knows looks cheaper; that planning took a third of a listing.
ALTER ROLE muster_responder SET plan_cache_mode = force_generic_plan;
ALTER ROLE muster_responder SET jit = off;
ALTER ROLE muster_worker SET jit = off;
