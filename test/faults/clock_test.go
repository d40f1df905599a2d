package faults

func clockChild() int { return 1 }
