-- Opening only, under the file's lock: no worker of another process lives, so no lease lasts. Walks a small table.
UPDATE workers SET lease_until = :now WHERE lease_until > :now
