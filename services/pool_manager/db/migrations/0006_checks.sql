-- What may stand in a row is checked when it is written there, and not again with every lease: of a table with CHECKs
-- PostgreSQL reads all of them anew for each statement that changes a row, whatever it changes, which was an eighth of the
-- time of a lease (measured on 18). The columns that leases change are written by the functions of this schema alone.

ALTER TABLE pool.leases
    DROP CONSTRAINT leases_ending_check,
    DROP CONSTRAINT leases_outcome_check;
ALTER TABLE pool.proxies
    DROP CONSTRAINT proxies_ip_address_check,
    DROP CONSTRAINT proxies_ip_port_check,
    DROP CONSTRAINT proxies_protocol_check,
    DROP CONSTRAINT country_is_two_lower_case_letters,
    DROP CONSTRAINT proxies_provider_check,
    DROP CONSTRAINT proxies_cooldown_check,
    DROP CONSTRAINT proxies_consecutive_failures_check,
    DROP CONSTRAINT proxies_ending_check;
