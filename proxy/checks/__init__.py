"""What commonly goes wrong, looked for one by one, each with the sentence that mends it."""
