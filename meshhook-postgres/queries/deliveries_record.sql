-- By deliveries_pk; rows in the order of their keys.
SELECT meshhook.record_deliveries_v1($1, $2, $3, $4, $5, $6, $7, $8) AS kept
