"""Rules: pure decisions. Time comes in as an argument; nothing here touches the world."""
