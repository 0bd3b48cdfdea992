local queue, aside, batches, due, state = unpack(KEYS, 1, 5)
