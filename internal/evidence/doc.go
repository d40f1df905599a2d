// Package evidence keeps what was captured and what was done, so that both can
// be proven later from the folder alone: content-addressed artefacts, and an
// append-only Merkle log (RFC 6962 hashing, golang.org/x/mod/sumdb/tlog) whose
// head is a signed checkpoint (C2SP tlog-checkpoint, an Ed25519 signed note).
//
// What lives here: the log, the artefacts, verification, and bundles for
// handing over. What must not: deciding anything, changing or deleting an
// entry, secrets, or another room.
//
// # Folder
//
//	entries.jsonl   one entry a line, canonical JSON; the line without its newline is the leaf
//	hashes          the tree's stored hashes (tlog.StoredHashIndex), 32 octets each
//	checkpoint      the signed head: origin, size, root, signature
//	log.vkey        the public key in note's spelling, origin+keyhash+base64
//	artefacts/ab/cdef...   the bytes whose SHA-256 is abcdef...
//	incoming/       captures that are being written; nothing in it is evidence
//	lock            empty; flock(2) on it orders the processes
//
// The private key is outside the folder ([Options].KeyPath), so that a copy of
// the folder can be given away and can't be continued.
//
// # Entries
//
// A line is the canonical JSON of an [impound.Entry] with one field more,
// "salt": 16 random octets. A proof that one entry is in the log shows hashes of
// its neighbours; without the salt they could be guessed, and a proof given to
// the parties of one case would betray a sealed one.
//
// # When is it safe
//
// Append and Capture return after entries, hashes and then the checkpoint that
// covers them are on the disk (fsync; rename; fsync of the folder). An entry is
// in the log when, and only when, a signed checkpoint covers it. A process that
// dies or a power cut in the middle can leave lines that no checkpoint covers.
// Nobody was told that they are in the log, and adopting them would mean
// signing whatever somebody wrote behind the last line. So they are never
// adopted: the next Open or Append moves them into an artefact of kind "torn",
// says so in an entry (What "evidence.torn"), and goes on from the checkpoint.
// The caller whose Append did not return appends again, with the same ID.
//
// A Capture that did not return left nothing: its bytes stay in incoming/ until
// its entry is covered, and the next Open clears what no entry names.
//
// The hashes can be made again from the entries. When they are damaged, Open
// makes them again and says so in an entry (What "evidence.repair"). Whatever
// else is damaged, Open refuses, and [Verify] says where.
//
// An Append that gave an error may have happened all the same (the disk failed
// between the rename and its fsync): append again with the same ID.
//
// # Trust
//
// Whoever can write the folder can destroy evidence, but not forge or change
// it unnoticed. Whoever also has the key can. An old copy of the whole folder
// is valid in itself: keep checkpoints elsewhere and give one to [VerifyWith],
// which proves that the log still holds all that it held then.
package evidence
