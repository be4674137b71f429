# shellcheck shell=bash
install perl || return
cd "$work" || return
provoke perl-module-missing perl -e 'use Absent::Module;'
provoke perl-module-missing perl -e 'require "absent.pl";'
provoke perl-runtime-error perl -e 'my $user; $user->name;'
provoke perl-runtime-error perl -e 'my $user = bless {}, "User"; $user->name;'
provoke perl-runtime-error perl -Mstrict -e 'my $user = "x"; print $user->{name};'
little_memory() { (ulimit -v 200000; perl -e 'my @a; while (1) { push @a, "x" x 10_000_000 }'); }
provoke perl-out-of-memory little_memory
