-- The seed's function, for the seed's own SQL. Writes leases that expired without a release into the history; their IPs came free by the clock alone.
CREATE OR REPLACE FUNCTION public.release_expired_ip_locks() RETURNS integer LANGUAGE sql AS $$
    SELECT pool.close_expired()
$$;
