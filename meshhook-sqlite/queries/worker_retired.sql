-- In the writer's transaction; by workers_pk.
SELECT retired FROM workers WHERE worker = ?1
