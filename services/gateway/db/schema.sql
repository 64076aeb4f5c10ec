-- Made by `make schema` from migrations/ and functions/ beside it, to be read and compared; nothing runs it.

--
-- PostgreSQL database dump
--

--
-- Name: clicks; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA clicks;

--
-- Name: make_role(); Type: FUNCTION; Schema: clicks; Owner: -
--

CREATE FUNCTION clicks.make_role() RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF to_regrole('clicktrace_gateway') IS NULL THEN
        BEGIN
            CREATE ROLE clicktrace_gateway NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server, so another database may be at it in this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'may not make the role clicktrace_gateway: have it made, then SELECT clicks.make_role()';
                RETURN false;
        END;
    END IF;
    GRANT USAGE ON SCHEMA clicks TO clicktrace_gateway;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clicks TO clicktrace_gateway;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA clicks TO clicktrace_gateway;
    -- What later migrations of the same owner add.
    ALTER DEFAULT PRIVILEGES IN SCHEMA clicks GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clicktrace_gateway;
    ALTER DEFAULT PRIVILEGES IN SCHEMA clicks GRANT USAGE, SELECT ON SEQUENCES TO clicktrace_gateway;
    REVOKE INSERT, UPDATE, DELETE ON clicks.migrations, clicks.functions FROM clicktrace_gateway;
    RETURN true;
END
$$;

--
-- Name: notify_offer(); Type: FUNCTION; Schema: clicks; Owner: -
--

CREATE FUNCTION clicks.notify_offer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('clicks_offers', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END
$$;

--
-- Name: clicks; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.clicks (
    click_id text NOT NULL,
    version integer NOT NULL,
    offer text NOT NULL,
    status text NOT NULL,
    answer text NOT NULL,
    reason text NOT NULL,
    start_time timestamp with time zone NOT NULL,
    visitor_wait double precision,
    end_time timestamp with time zone,
    give_up_time timestamp with time zone NOT NULL,
    inbound_query text NOT NULL,
    location text NOT NULL,
    final_url text NOT NULL,
    stop_reason text NOT NULL,
    failure_reason text NOT NULL,
    ip_assigned text,
    trace_time double precision,
    attempts jsonb NOT NULL,
    hops jsonb NOT NULL,
    params jsonb NOT NULL,
    joined_click_id text NOT NULL,
    otel_trace_id text NOT NULL,
    visitor_address text NOT NULL,
    user_agent text NOT NULL,
    CONSTRAINT clicks_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'TRACING'::text, 'COMPLETED'::text, 'FAILED'::text, 'NOT_TRACED'::text])))
);

--
-- Name: COLUMN clicks.give_up_time; Type: COMMENT; Schema: clicks; Owner: -
--

COMMENT ON COLUMN clicks.clicks.give_up_time IS 'When a click that is still PENDING or TRACING means that its gateway died: it is then ABANDONED.';

--
-- Name: click_log; Type: VIEW; Schema: clicks; Owner: -
--

CREATE VIEW clicks.click_log AS
 SELECT click_id,
    version,
    offer,
        CASE
            WHEN ((status = ANY (ARRAY['PENDING'::text, 'TRACING'::text])) AND (give_up_time < clock_timestamp())) THEN 'ABANDONED'::text
            ELSE status
        END AS status,
    answer,
    reason,
    start_time,
    visitor_wait,
    end_time,
    give_up_time,
    inbound_query,
    location,
    final_url,
    stop_reason,
    failure_reason,
    ip_assigned,
    trace_time,
    attempts,
    hops,
    params,
    joined_click_id,
    otel_trace_id,
    visitor_address,
    user_agent
   FROM clicks.clicks;

--
-- Name: functions; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.functions (
    name text NOT NULL,
    checksum text NOT NULL,
    set_version integer NOT NULL,
    schema_version integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: journeys; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.journeys (
    identity text NOT NULL,
    click_id text NOT NULL,
    expire_time timestamp with time zone NOT NULL
);

--
-- Name: migrations; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: offer_health; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.offer_health (
    offer text NOT NULL,
    state jsonb DEFAULT '{}'::jsonb NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.05');

--
-- Name: offers; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.offers (
    name text NOT NULL,
    create_time timestamp with time zone DEFAULT now() NOT NULL,
    update_time timestamp with time zone DEFAULT now() NOT NULL,
    document jsonb NOT NULL,
    CONSTRAINT offers_document_check CHECK ((jsonb_typeof(document) = 'object'::text))
);

--
-- Name: COLUMN offers.document; Type: COMMENT; Schema: clicks; Owner: -
--

COMMENT ON COLUMN clicks.offers.document IS 'The fields of clicktrace.gateway.v1.Offer by name; times in seconds, enum values by name. A field that is missing has its default; a null max_wait takes the default of the gateway.';

--
-- Name: webhooks; Type: TABLE; Schema: clicks; Owner: -
--

CREATE TABLE clicks.webhooks (
    click_id text NOT NULL,
    offer text NOT NULL,
    url text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_time timestamp with time zone DEFAULT now() NOT NULL,
    dead boolean DEFAULT false NOT NULL,
    last_error text DEFAULT ''::text NOT NULL,
    create_time timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: active_trace_requests; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.active_trace_requests AS
 SELECT click_id AS request_id,
    offer AS offer_name,
        CASE status
            WHEN 'PENDING'::text THEN 'pending'::text
            WHEN 'TRACING'::text THEN 'processing'::text
            WHEN 'COMPLETED'::text THEN 'completed'::text
            WHEN 'FAILED'::text THEN 'failed'::text
            WHEN 'ABANDONED'::text THEN 'abandoned'::text
            ELSE NULL::text
        END AS status,
    ip_assigned,
    (round((trace_time * (1000)::double precision)))::integer AS trace_time_ms,
    start_time AS started_at,
    end_time AS completed_at,
    NULLIF(COALESCE(NULLIF(failure_reason, ''::text), reason), ''::text) AS error_message,
    final_url
   FROM clicks.click_log
  WHERE ((status <> 'NOT_TRACED'::text) AND (joined_click_id = ''::text));

--
-- Name: clicks clicks_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.clicks
    ADD CONSTRAINT clicks_pkey PRIMARY KEY (click_id);

--
-- Name: functions functions_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.functions
    ADD CONSTRAINT functions_pkey PRIMARY KEY (name);

--
-- Name: journeys journeys_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.journeys
    ADD CONSTRAINT journeys_pkey PRIMARY KEY (identity);

--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);

--
-- Name: offer_health offer_health_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.offer_health
    ADD CONSTRAINT offer_health_pkey PRIMARY KEY (offer);

--
-- Name: offers offers_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.offers
    ADD CONSTRAINT offers_pkey PRIMARY KEY (name);

--
-- Name: webhooks webhooks_pkey; Type: CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (click_id);

--
-- Name: clicks_by_offer; Type: INDEX; Schema: clicks; Owner: -
--

CREATE INDEX clicks_by_offer ON clicks.clicks USING btree (offer, click_id DESC);

--
-- Name: clicks_by_start; Type: INDEX; Schema: clicks; Owner: -
--

CREATE INDEX clicks_by_start ON clicks.clicks USING btree (start_time);

--
-- Name: journeys_by_expiry; Type: INDEX; Schema: clicks; Owner: -
--

CREATE INDEX journeys_by_expiry ON clicks.journeys USING btree (expire_time);

--
-- Name: webhooks_by_due; Type: INDEX; Schema: clicks; Owner: -
--

CREATE INDEX webhooks_by_due ON clicks.webhooks USING btree (due_time) WHERE (NOT dead);

--
-- Name: offers offers_changed; Type: TRIGGER; Schema: clicks; Owner: -
--

CREATE TRIGGER offers_changed AFTER INSERT OR DELETE OR UPDATE ON clicks.offers FOR EACH ROW EXECUTE FUNCTION clicks.notify_offer();

--
-- Name: offer_health offer_health_offer_fkey; Type: FK CONSTRAINT; Schema: clicks; Owner: -
--

ALTER TABLE ONLY clicks.offer_health
    ADD CONSTRAINT offer_health_offer_fkey FOREIGN KEY (offer) REFERENCES clicks.offers(name) ON DELETE CASCADE;

--
-- Name: SCHEMA clicks; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA clicks TO clicktrace_gateway;

--
-- Name: FUNCTION make_role(); Type: ACL; Schema: clicks; Owner: -
--

REVOKE ALL ON FUNCTION clicks.make_role() FROM PUBLIC;

--
-- Name: TABLE clicks; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.clicks TO clicktrace_gateway;

--
-- Name: TABLE click_log; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.click_log TO clicktrace_gateway;

--
-- Name: TABLE functions; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT ON TABLE clicks.functions TO clicktrace_gateway;

--
-- Name: TABLE journeys; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.journeys TO clicktrace_gateway;

--
-- Name: TABLE migrations; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT ON TABLE clicks.migrations TO clicktrace_gateway;

--
-- Name: TABLE offer_health; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.offer_health TO clicktrace_gateway;

--
-- Name: TABLE offers; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.offers TO clicktrace_gateway;

--
-- Name: TABLE webhooks; Type: ACL; Schema: clicks; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE clicks.webhooks TO clicktrace_gateway;

--
-- Name: DEFAULT PRIVILEGES FOR SEQUENCES; Type: DEFAULT ACL; Schema: clicks; Owner: -
--

ALTER DEFAULT PRIVILEGES FOR ROLE clicktrace IN SCHEMA clicks GRANT SELECT,USAGE ON SEQUENCES TO clicktrace_gateway;

--
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: clicks; Owner: -
--

ALTER DEFAULT PRIVILEGES FOR ROLE clicktrace IN SCHEMA clicks GRANT SELECT,INSERT,DELETE,UPDATE ON TABLES TO clicktrace_gateway;

--
-- PostgreSQL database dump complete
--
