// Package app wires the rooms into one system from a configuration: it opens
// the state folder, starts and stops what serves, and carries orders in force
// to the sinkhole and contacts to telemetry. What must not live here: a rule of
// any room, or a face (commands and pages are cli and web).
package app
