# shellcheck shell=bash
# Shell library of ./run and ./test: installs what is missing, and says so first.
# Source it from the repository's root. Needs bash; changes nothing when everything is there.

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# have_file PATH...: one of these exists below a usual prefix.
have_file() {
  local path prefix
  for path in "$@"; do
    for prefix in /usr /usr/local "${HOMEBREW_PREFIX:-/opt/homebrew}"; do
      # shellcheck disable=SC2086  # the path may hold a pattern
      compgen -G $prefix/$path >/dev/null && return 0
    done
  done
  return 1
}

have_clang() {
  local version
  for version in 14 15 16 17 18 19 20 21 22; do
    have "clang++-$version" && return 0
  done
  have clang++
}

# Boost 1.81 or newer (Debian 12 has an older one by default, and 1.81 beside it).
have_boost() {
  local prefix
  for prefix in /usr /usr/local "${HOMEBREW_PREFIX:-/opt/homebrew}"; do
    [ -f "$prefix/include/boost/version.hpp" ] || continue
    [ "$(awk '/^#define BOOST_VERSION / { print $3; exit }' "$prefix/include/boost/version.hpp")" -ge 108100 ] && return 0
  done
  return 1
}

# Packages still missing for a purpose, one a line, as Debian 12, Debian 13 and Ubuntu 24.04 name them.
missing_for_build() {
  have g++ || have clang++ || echo g++
  have cmake || echo cmake
  have ninja || echo ninja-build
  have git || echo git
  have pkg-config || echo pkg-config
  have python3 || echo python3
  have_file include/nlohmann/json.hpp || echo nlohmann-json3-dev
  have_file include/fmt/core.h || echo libfmt-dev
  have_file include/CLI/CLI.hpp || echo libcli11-dev
  have_file include/simdjson.h || echo libsimdjson-dev
  have_file include/sqlite3.h || echo libsqlite3-dev
  have_file include/curl/curl.h 'include/*/curl/curl.h' || echo libcurl4-openssl-dev
  have_file include/openssl/evp.h || echo libssl-dev
  have_boost || echo 'libboost1.81-dev|libboost-dev'
}
missing_for_download() {
  if have python3 && python3 -m pip --version >/dev/null 2>&1; then return 0; fi
  echo python3-pip
}
missing_for_tests() {
  have_file include/gtest/gtest.h && have_file 'lib/cmake/GTest/GTestConfig.cmake' \
    'lib/*/cmake/GTest/GTestConfig.cmake' || echo libgtest-dev
}
# What only some stages want: when one cannot be had, its stage says so and is skipped.
missing_for_all_stages() {
  have_clang || echo 'clang-14|clang'
  have clang-format-14 || echo 'clang-format-14|clang-format'
  have clang-tidy-14 || have clang-tidy || echo 'clang-tidy-14|clang-tidy'
  have clang++-19 || echo 'clang-19|clang'
  have_file 'lib/llvm-19/lib/clang/*/lib/linux/libclang_rt.fuzzer-*' || echo 'libclang-rt-19-dev|'
  have npm || echo npm
  have chromium || have google-chrome || echo 'chromium|'
}

# as_root COMMAND...: runs it, through sudo when needed.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

apt_known() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# Refreshes the package lists once, when a wanted package is unknown to them.
apt_refresh() {
  [ -n "${bezel_apt_refreshed:-}" ] && return 0
  bezel_apt_refreshed=1
  as_root apt-get update -qq >&2 || say "apt-get update failed; going on with the lists that are there."
}

check_can_install() {
  have apt-get || die "Bezel's set-up knows apt-get (Debian 12 or newer, Ubuntu 24.04 or newer) only." \
    "Please install these yourself, under whatever names your system has for them, and start again: $*"
  if [ "$(id -u)" != 0 ] && ! have sudo; then
    die "These packages are missing, and installing them needs root or sudo: $*" \
      "As root: apt-get install $*"
  fi
}

# install_required NAME...: stops with a sentence when that fails.
install_required() {
  [ $# -gt 0 ] || return 0
  check_can_install "$@"
  say "Installing with apt-get: $*"
  apt_refresh
  local choice name wanted=()
  for choice in "$@"; do  # the first of several names that the package lists know, or the last
    for name in ${choice//|/ }; do apt_known "$name" && break; done
    wanted+=("$name")
  done
  apt_install "${wanted[@]}" || die "apt-get could not install: ${wanted[*]}"
}

# install_optional 'FIRST|SECOND'...: takes the first of each that the package lists know; an empty
# second means "or nothing". Never stops.
install_optional() {
  [ $# -gt 0 ] || return 0
  if ! have apt-get || { [ "$(id -u)" != 0 ] && ! have sudo; }; then
    say "Not installed, so some stages will be skipped: $*"
    return 0
  fi
  apt_refresh
  local choice name wanted=()
  for choice in "$@"; do
    for name in ${choice//|/ }; do
      if apt_known "$name"; then
        wanted+=("$name")
        break
      fi
    done
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  say "Installing with apt-get: ${wanted[*]}"
  apt_install "${wanted[@]}" && return 0
  for name in "${wanted[@]}"; do  # one that cannot be had must not cost the others
    apt_install "$name" || say "apt-get could not install $name; what needs it will be skipped."
  done
}

setup_build() {
  local names
  mapfile -t names < <(missing_for_build)
  install_required "${names[@]}"
}
setup_tests() {
  local names
  mapfile -t names < <(missing_for_tests)
  install_required "${names[@]}"
}
setup_all_stages() {
  local names
  mapfile -t names < <(missing_for_all_stages)
  install_optional "${names[@]}"
}
setup_download() {
  local names
  mapfile -t names < <(missing_for_download)
  install_optional "${names[@]}"
}
