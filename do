#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The front door: ./do help. It needs a Debian (12 or later) and nothing else: what is missing is installed first.
# What a step prints goes to build/log and is shown when the step fails; a person reads one line a step.
set -eu
cd "$(dirname "$0")"

PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH # Debian's python3 and meson, before any other that the caller has
export PATH

packages_build="build-essential meson ninja-build pkg-config libuv1-dev libssl-dev libconfuse-dev libsqlite3-dev libcrypt-dev
	libunbound-dev libidn2-dev libseccomp-dev libjansson-dev libmicrohttpd-dev"
packages_test="libcmocka-dev chromium fonts-wqy-microhei clang libclang-rt-dev clang-tidy clang-format cppcheck shellcheck swaks curl msmtp git git-email
	libauthen-sasl-perl libmailtools-perl postfix python3 python3-pytest python3-pytest-xdist
	python3-aiosmtpd python3-hypothesis libgmime-3.0-dev valgrind mandoc strace knot faketime iproute2
	dovecot-imapd dovecot-lmtpd dovecot-submissiond opendkim opendkim-tools rspamd testssl.sh mutt s-nail cron php-cli openssl bsdextrautils haproxy"
packages_bench="postfix python3 python3-pytest python3-aiosmtpd libcurl4-openssl-dev chromium"

jobs=$(nproc)
log=build/log
results=build/results # one file a runner, counted by test/tally.py

help()
{
	cat <<'END'
usage: ./do COMMAND

  demo [--check]       start a station on loopback, send a mail as a person would, keep it running to play with;
                       --check: unattended, succeeds only if the mail arrived byte for byte
  build                build it: build/posthouse
  test [SUITE…]        build and run the tests: gcc clang sanitize system page crash fuzz lint   (all of them: 25 minutes)
  crash [ROUNDS]       kill the roles under load, again and again (200), and count what was lost
  fuzz [SECONDS]       fuzz each parser that long (60)
  bench [NAME…]        measure: relay idle spool patience handshake idle-tls loris isolation bulk compose webmail
                       (most need root: side by side with Postfix; bulk: with libcurl)
  lint                 layout, clang-tidy, cppcheck, layers
  install [--prefix P] install it (/usr/local)
END
}

say()
{
	printf '%s\n' "$*"
}

stop()
{
	printf './do: %s\n' "$*" >&2
	exit 1
}

# quiet WORDS COMMAND…: one line for people, the rest into the log, which is shown when the command fails.
quiet()
{
	say "$1"
	shift
	mkdir -p build
	if ! "$@" >"$log" 2>&1; then
		tail -n 200 "$log" >&2
		stop "this failed: $* (all it said is in $log)"
	fi
}

# ── what must be installed ──

packages_missing()
{
	for package; do
		dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
	done
}

need()
{
	[ "${POSTHOUSE_PACKAGES:-}" != mine ] || return 0
	if ! command -v apt-get >/dev/null; then
		say "This system has no apt. The packages, by their names in Debian:" "$@"
		stop "install what corresponds to them, then run it again with POSTHOUSE_PACKAGES=mine"
	fi
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif command -v sudo >/dev/null; then
		as_root=sudo
	else
		stop "as root, run: apt-get install $missing"
	fi
	say "installing: $missing"
	mkdir -p build
	# shellcheck disable=SC2086 # the list is words
	packages_install $missing >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		stop "the packages could not be installed (all it said is in $log)"
	}
}

# Packages with a daemon (postfix) must neither start nor set up a mail service of the system: a policy that says no stands
# while they are installed, and debconf's answer is "No configuration".
packages_install()
{
	policy=/usr/sbin/policy-rc.d
	forbid=
	if [ ! -e "$policy" ]; then
		forbid=yes
		printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
		$as_root chmod 755 "$policy"
		trap 'exit 1' INT TERM
		trap '$as_root rm -f "$policy"' EXIT
	fi
	case " $* " in *" postfix "*)
		echo "postfix postfix/main_mailer_type select No configuration" | $as_root debconf-set-selections
	esac
	status=0
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y update &&
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@" || status=$?
	if [ -n "$forbid" ]; then
		$as_root rm -f "$policy"
		trap - INT TERM EXIT
	fi
	return "$status"
}

# Mail systems that cannot be installed beside Postfix, for the tests to run as next hosts: their packages, unpacked into build/mta.
# A package that cannot be had costs its test alone, which says so.
unpack_mtas()
{
	[ "${POSTHOUSE_PACKAGES:-}" != mine ] || return 0
	mkdir -p build/mta
	for package in exim4-daemon-light opensmtpd; do
		[ ! -d "build/mta/$package" ] || continue
		(cd build/mta && apt-get -q download "$package" && dpkg-deb -x "$package"_*.deb "$package.part") >>"$log" 2>&1 || {
			say "no package $package: its test will be skipped"
			continue
		}
		# shellcheck disable=SC2046 # the list is words: the libraries that it depends on
		need $(dpkg-deb -f build/mta/"$package"_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ |(]*\).*/\1/p')
		mv "build/mta/$package.part" "build/mta/$package"
	done
}

# ── building ──

# What the page is built with. Without it everything else is built all the same, and the page says what is missing.
page_tools()
{
	if [ "${POSTHOUSE_PACKAGES:-}" != mine ]; then
		command -v node >/dev/null || need nodejs
		command -v npm >/dev/null || need npm
	fi
	command -v npm >/dev/null || {
		say "no npm: the page is left out"
		return 0
	}
	cmp -s web/package-lock.json web/node_modules/.of-this-list || {
		say "fetching what the page is built with (npm)"
		mkdir -p build
		(cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error &&
			cp package-lock.json node_modules/.of-this-list) >"$log" 2>&1 || {
			tail -n 20 "$log" >&2
			say "npm could not fetch it: the page is left out"
		}
	}
}

# meson looks for these when it sets a directory up, and not again.
page_possible()
{
	command -v node >/dev/null && [ -d web/node_modules ]
}

page_in() # page_in DIRECTORY: it was set up with the page
{
	! grep -q 'role/web/no_page\.c' "$1/build.ninja"
}

# compile DIRECTORY COMPILER [MESON OPTION…]
compile()
{
	directory=$1 compiler=$2
	shift 2
	page_tools
	if [ ! -f "$directory/build.ninja" ]; then
		rm -rf "$directory/meson-private" # of a setup that was interrupted
		quiet "setting up $directory ($compiler${*:+ $*})" env CC="$compiler" meson setup "$directory" "$@"
	elif page_possible && ! page_in "$directory"; then
		quiet "setting up $directory again: now it can have the page" meson setup --reconfigure "$directory"
	fi
	quiet "building $directory" ninja -C "$directory" -j "$jobs"
}

build()
{
	# shellcheck disable=SC2086
	need $packages_build
	compile build gcc
}

# What is installed and what is measured.
build_release() # build_release [MESON OPTION…]
{
	compile build-release gcc --buildtype=release -Db_ndebug=false "$@"
}

build_sanitize()
{
	compile build-sanitize gcc -Db_sanitize=address,undefined -Db_lundef=false
}

build_fuzz()
{
	compile build-fuzz clang -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
}

# ── testing: each suite leaves its counts in $results and goes on to the next, so that one run shows every failure ──

# record NAME COMMAND…: a runner that counts nothing itself is one test.
skipped=77
record()
{
	name=$1 status=0
	shift
	"$@" >"$results/$name.log" 2>&1 || status=$?
	case $status in
	0)
		echo "1 0 0" >"$results/$name.count"
		say "  ok      $name" ;;
	"$skipped")
		echo "0 0 1" >"$results/$name.count"
		say "  skipped $name: $(cat "$results/$name.log")" ;;
	*)
		echo "0 1 0" >"$results/$name.count"
		cat "$results/$name.log"
		say "  FAILED  $name" ;;
	esac
}

# meson_test NAME DIRECTORY: unit tests, dialogues, fuzz corpora and vectors against one build.
meson_test()
{
	say "running unit tests, dialogues and fuzz corpora with $2"
	rm -f "$2/meson-logs/testlog.json"
	meson test -C "$2" --no-rebuild --print-errorlogs --num-processes "$jobs" >"$results/$1.log" 2>&1 ||
		grep -v '^$' "$results/$1.log" | tail -n 200
	cp "$2/meson-logs/testlog.json" "$results/$1.json" 2>/dev/null || echo "0 1 0" >"$results/$1.count"
}

# python_test NAME BUILD [ARGUMENT…]: most of these tests wait for something, so more of them run than there are processors.
workers=4
python_test()
{
	name=$1 directory=$2
	shift 2
	POSTHOUSE_BUILD=$PWD/$directory PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=short -rfEs -n "$workers" --junitxml="$results/$name.xml" "$@" || true
	[ -s "$results/$name.xml" ] || echo "0 1 0" >"$results/$name.count"
}

test_gcc()
{
	compile build gcc
	meson_test gcc build
	build_release # which sees other warnings than a build for debugging, and a warning is an error
	echo "1 0 0" >"$results/release.count"
}

test_clang()
{
	compile build-clang clang # its warnings are errors; its tests are those of the other two builds
	echo "1 0 0" >"$results/clang.count"
}

test_sanitize()
{
	build_sanitize
	meson_test sanitize build-sanitize
	say "running the short system tests with build-sanitize"
	python_test sanitize-system build-sanitize -m "not slow" test/system test/client test/page
}

test_system()
{
	compile build gcc
	say "running the system tests"
	python_test system build test/system test/conformance test/client test/page
}

# The page by itself: its types, and what of it can be tried without a browser.
test_page()
{
	page_tools
	say "checking the page"
	if [ -d web/node_modules ]; then
		record page-types npm --prefix web run --silent check
		record page-units npm --prefix web run --silent test
	else
		echo "0 1 0" >"$results/page.count"
		say "  FAILED  page: npm has not fetched what it is built with"
	fi
}

test_crash()
{
	compile build gcc
	say "killing roles under load ${1:-16} times, failing syncs, planted bugs"
	workers=0 # the load is meant to be all there is
	python_test crash build test/crash --rounds "${1:-16}"
}

test_fuzz()
{
	build_fuzz
	say "fuzzing each parser for ${1:-3} seconds"
	running=0
	for target in build-fuzz/test/fuzz/fuzz-*; do
		[ ! -d "$target" ] || continue # its object files
		name=${target##*/fuzz-}
		mkdir -p "build-fuzz/found/$name"
		record "fuzz-$name" "$target" -error_exitcode=1 -max_total_time="${1:-3}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix="build-fuzz/found/$name/" "build-fuzz/found/$name" "test/fuzz/corpus/$name" &
		running=$((running + 1))
		[ $((running % jobs)) != 0 ] || wait
	done
	wait
}

sources()
{
	find include src test examples bench -name '*.[ch]' | sort
}

# The layout is that of one clang-format; another one's taste is no mistake.
lint_format()
{
	case $(clang-format --version) in
	*"version 14."*) ;;
	*) echo "not looked at: the layout is that of clang-format 14"; return "$skipped" ;;
	esac
	sources | xargs clang-format --dry-run -Werror
}

lint_tidy()
{
	find src examples -name '*.c' | sort | xargs -n 4 -P "$jobs" clang-tidy --quiet -p build-clang
}

lint_cppcheck()
{
	cppcheck --quiet -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppressions-list=test/cppcheck-suppressions --library=test/cppcheck.cfg -DPOSTHOUSE_VERSION='""' -I src src
}

lint_shell()
{
	# shellcheck disable=SC2046 # the list is words
	shellcheck ./do .ci/run examples/demo $(find bench test -type f -exec grep -lE '^#!/bin/(ba)?sh' {} +)
}

test_lint()
{
	compile build-clang clang
	say "checking layout, layers, clang-tidy, cppcheck"
	record lint-format lint_format
	record lint-layers test/layers
	record lint-shell lint_shell
	record lint-cppcheck lint_cppcheck
	record lint-tidy lint_tidy
}

# tests SUITE…: what they count, added up, is the last line.
tests()
{
	# shellcheck disable=SC2086
	need $packages_build $packages_test
	unpack_mtas
	rm -rf "$results"
	mkdir -p "$results"
	for suite; do
		case $suite in
		gcc|clang|sanitize|system|page|crash|fuzz|lint)
			("test_$suite") || echo "0 1 0" >"$results/$suite-stopped.count" ;; # a build that fails fails its suite
		*) stop "no such suite: $suite (gcc clang sanitize system page crash fuzz lint)" ;;
		esac
	done
	/usr/bin/python3 test/tally.py "$results"
}

battery() # battery SUITE ARGUMENT: the long form of a suite
{
	# shellcheck disable=SC2086
	need $packages_build $packages_test
	rm -rf "$results"
	mkdir -p "$results"
	"test_$1" "$2"
	/usr/bin/python3 test/tally.py "$results"
}

# ── the rest ──

bench()
{
	# shellcheck disable=SC2086
	need $packages_build $packages_bench
	build_release
	[ $# -gt 0 ] || set -- relay idle spool patience
	for name; do
		"bench/$name" build-release
	done
}

install_house()
{
	prefix=/usr/local
	case ${1:-} in
	--prefix) prefix=${2:-} ;;
	--prefix=*) prefix=${1#--prefix=} ;;
	"") ;;
	*) stop "no such option: $1 (--prefix P)" ;;
	esac
	case $prefix in /*) ;; *) stop "install --prefix P: P is where to, from the root on, as in /usr/local" ;; esac
	# shellcheck disable=SC2086
	need $packages_build
	[ ! -d build-release ] || meson configure build-release -Dprefix="$prefix"
	build_release --prefix="$prefix"
	quiet "installing under $prefix" meson install -C build-release --no-rebuild
	say "installed: $prefix/bin/posthouse"
	[ "$prefix" = /usr/local ] && [ -d /run/systemd/system ] || return 0
	say "to run it as a service: systemd-sysusers && systemd-tmpfiles --create && systemctl enable --now posthouse"
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
help|-h|--help) help ;;
build) build; say "built: build/posthouse" ;;
demo) build; exec examples/demo build "$@" ;;
test) [ $# -gt 0 ] || set -- gcc clang sanitize system page crash fuzz lint; tests "$@" ;;
crash) battery crash "${1:-200}" ;;
fuzz) battery fuzz "${1:-60}" ;;
lint) tests lint ;;
bench) bench "$@" ;;
install) install_house "$@" ;;
*) help >&2; stop "no such command: $command" ;;
esac
