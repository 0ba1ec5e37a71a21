// The HTTP layer over real sockets: what it answers, what it refuses, who it waits for.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "server/client.h"
#include "server/http/server.h"

namespace bezel::test {
namespace {

using http::Exchange;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ExchangePtr = std::shared_ptr<Exchange>;

std::unique_ptr<http::Server> start(const http::Handler& handler, http::Limits limits = {}) {
  http::Options o;
  o.port = 0;
  o.limits = limits;
  auto server = http::Server::start(o, handler);
  if (!server) throw std::runtime_error(server.error().text());
  return *std::move(server);
}

void echo(const http::Request& r, const ExchangePtr& e) {
  e->respond(200, "text/plain", r.method + " " + r.path + " " + r.body);
}

// Waits at most ten seconds.
bool soon(const std::function<bool()>& condition) {
  for (int n = 0; n < 1000; ++n) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

TEST(Http, AnswersRequestAfterRequestOnOneConnection) {
  const auto server = start(echo);
  Client client(server->port());
  for (int n = 0; n < 5; ++n) {
    ASSERT_TRUE(client.send(request("POST", "/a?b=c", std::to_string(n))));
    const Response r = read_response(client);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "POST /a " + std::to_string(n));
  }
}

TEST(Http, AnswersRequestsThatComeAllAtOnceInOrder) {
  const auto server = start(echo);
  Client client(server->port());
  ASSERT_TRUE(client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3")));
  for (const char* want : {"GET /1 ", "GET /2 ", "GET /3 "})
    EXPECT_EQ(read_response(client).body, want);
}

TEST(Http, StreamsPieceByPieceWhileTheHandlerIsLongGone) {
  ExchangePtr kept;
  std::atomic<bool> have{false};
  const auto server = start([&](const http::Request&, ExchangePtr e) {
    kept = std::move(e);
    have = true;
  });
  Client client(server->port());
  ASSERT_TRUE(client.send(request("GET", "/")));
  ASSERT_TRUE(soon([&] { return have.load(); }));
  kept->begin(200, "text/event-stream");
  EXPECT_NE(client.read_until("\r\n\r\n").find("chunked"), std::string::npos);
  for (const std::string piece : {"one", "two"}) {
    EXPECT_TRUE(kept->write(piece));
    EXPECT_EQ(client.read_until(piece + "\r\n"), "3\r\n" + piece + "\r\n");
  }
  kept->end();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  kept.reset();
}

TEST(Http, AnOldClientGetsAStreamThatEndsWithTheConnection) {
  const auto server = start([&](const http::Request&, const ExchangePtr& e) {
    e->begin(200, "text/plain");
    e->write("all");
    e->end();
  });
  Client client(server->port());
  ASSERT_TRUE(client.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"));
  const std::string all = client.read_all();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_EQ(all.substr(all.find("\r\n\r\n") + 4), "all");
}

TEST(Http, RefusesWhatIsNoRequestAndWhatIsTooLarge) {
  http::Limits limits;
  limits.header_bytes = 2048;
  limits.body_bytes = 1000;
  const auto server = start(echo, limits);
  EXPECT_EQ(ask(server->port(), "this is no request\r\n\r\n").status, 400);
  EXPECT_EQ(ask(server->port(), "GET / HTTP/9.9\r\n\r\n").status, 400);
  EXPECT_EQ(ask(server->port(), std::string(64, '\0')).status, 400);
  EXPECT_EQ(
      ask(server->port(), request("GET", "/", "", "X: " + std::string(4000, 'x') + "\r\n")).status,
      431);
  EXPECT_EQ(ask(server->port(), request("POST", "/", std::string(1001, 'x'))).status, 413);
  EXPECT_EQ(ask(server->port(),
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                "18446744073709551615\r\n\r\n")
                .status,
            413);
  EXPECT_EQ(ask(server->port(), "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n")
                .status,
            400);
  EXPECT_EQ(ask(server->port(),
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                .status,
            400)
      << "two lengths: a smuggled request";
  EXPECT_EQ(ask(server->port(), request("POST", "/", std::string(1000, 'x'))).status, 200);
}

TEST(Http, AClientThatDawdlesIsDisconnected) {
  http::Limits limits;
  limits.header_time = limits.body_time = seconds(1);
  const auto server = start(echo, limits);
  Client header(server->port()), body(server->port());
  ASSERT_TRUE(header.send("GET / HTTP/1.1\r\nHo"));
  ASSERT_TRUE(body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(header.read_all() + body.read_all(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(20));
  EXPECT_TRUE(soon([&] { return server->connections() == 0; }));
}

TEST(Http, AClientThatLeavesIsNoticedAlthoughNothingIsWritten) {
  std::atomic<int> gone{0};
  std::atomic<bool> have{false};
  ExchangePtr kept;
  const auto server = start([&](const http::Request&, ExchangePtr e) {
    e->on_gone([&] { ++gone; });
    kept = std::move(e);
    have = true;
  });
  {
    Client client(server->port());
    ASSERT_TRUE(client.send(request("GET", "/")));
    ASSERT_TRUE(soon([&] { return have.load(); }));
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(gone, 0);
  }
  EXPECT_TRUE(soon([&] { return gone == 1; }));
  EXPECT_TRUE(soon([&] { return server->connections() == 0; }));
  EXPECT_FALSE(kept->write("late"));
  kept.reset();
}

TEST(Http, AClientThatDoesNotReadHoldsNobodyAndIsDropped) {
  http::Limits limits;
  limits.queued_bytes = 100'000;
  std::atomic<int> wrote{-1};
  const auto server = start(
      [&](const http::Request& r, const ExchangePtr& e) {
        if (r.path != "/slow") return echo(r, e);
        e->begin(200, "text/plain");
        int n = 0;
        while (n < 100'000 && e->write(std::string(1000, 'x'))) ++n;
        wrote = n;
      },
      limits);
  Client slow(server->port(), 4096);
  ASSERT_TRUE(slow.send(request("GET", "/slow")));
  EXPECT_TRUE(soon([&] { return wrote >= 0; })) << "write() must never wait";
  EXPECT_LT(wrote, 100'000);
  EXPECT_EQ(ask(server->port(), request("GET", "/quick")).status, 200);
  EXPECT_TRUE(soon([&] { return server->connections() <= 1; }));
}

TEST(Http, ARequestThatNobodyAnswersIsClosed) {
  const auto server = start([](const http::Request&, const ExchangePtr&) {});
  Client client(server->port());
  ASSERT_TRUE(client.send(request("GET", "/")));
  EXPECT_EQ(client.read_all(), "");
}

TEST(Http, TooManyConnectionsAreTurnedAway) {
  http::Limits limits;
  limits.connections = 3;
  const auto server = start(echo, limits);
  Client a(server->port()), b(server->port()), c(server->port());
  ASSERT_TRUE(soon([&] { return server->connections() == 3; }));
  Client d(server->port());
  EXPECT_NE(d.read_all().find(" 503 "), std::string::npos);
  a.close();
  ASSERT_TRUE(soon([&] { return server->connections() == 2; }));
  EXPECT_EQ(ask(server->port(), request("GET", "/")).status, 200);
}

TEST(Http, StopLetsAnswersEndAndThenClosesTheRest) {
  std::atomic<int> gone{0};
  std::vector<ExchangePtr> kept;
  std::atomic<int> have{0};
  std::mutex mutex;
  const auto server = start([&](const http::Request&, ExchangePtr e) {
    e->on_gone([&] { ++gone; });
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(e));
    ++have;
  });
  Client ends(server->port()), stays(server->port());
  ASSERT_TRUE(ends.send(request("GET", "/")));
  ASSERT_TRUE(soon([&] { return have == 1; }));
  ASSERT_TRUE(stays.send(request("GET", "/")));
  ASSERT_TRUE(soon([&] { return have == 2; }));
  std::thread finisher([&] {
    std::this_thread::sleep_for(milliseconds(100));
    kept[0]->respond(200, "text/plain", "done");
  });
  server->stop(milliseconds(600));
  finisher.join();
  EXPECT_EQ(read_response(ends).body, "done");
  EXPECT_EQ(stays.read_all(), "");
  EXPECT_EQ(gone, 1);
  EXPECT_THROW(Client(server->port()), std::runtime_error);
  kept.clear();
}

TEST(Http, WhoIsNotAdmittedIsToldBeforeTheBodyAndSendsNone) {
  http::Options o;
  o.port = 0;
  auto started = http::Server::start(o, echo, [](const http::Request& r) {
    EXPECT_EQ(r.body, "");
    return r.header("x-friend").empty()
               ? std::optional(http::Refusal{401, R"({"error":"who?"})", "X-More: 1\r\n"})
               : std::nullopt;
  });
  ASSERT_TRUE(started) << started.error().text();
  const auto server = *std::move(started);
  for (const char* more : {"", "Expect: 100-continue\r\n"}) {
    Client client(server->port());
    ASSERT_TRUE(client.send(fmt::format(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n{}\r\n", more)));
    const Response r = read_response(client);
    EXPECT_EQ(r.status, 401) << r.head;
    EXPECT_EQ(r.body, R"({"error":"who?"})");
    EXPECT_NE(r.head.find("X-More: 1\r\n"), std::string::npos);
    EXPECT_NE(r.head.find("Connection: close\r\n"), std::string::npos);
    EXPECT_EQ(client.read_all(), "") << "the connection ends";
  }
  // A body that is on its way already does not lose the answer.
  std::string large;
  large.resize(20'000'000, 'x');
  EXPECT_EQ(ask(server->port(), request("POST", "/", large)).status, 401);
  Client client(server->port());
  for (const auto& [more, status] : {std::pair("", 401), std::pair("X-Friend: yes\r\n", 200)}) {
    ASSERT_TRUE(client.send(request("GET", "/", "", more)));
    EXPECT_EQ(read_response(client).status, status) << "without a body the connection lives on";
  }
  Client friendly(server->port());
  ASSERT_TRUE(
      friendly.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nX-Friend: yes\r\n"
                    "Expect: 100-continue\r\n\r\n"));
  EXPECT_EQ(friendly.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(friendly.send("abc"));
  EXPECT_EQ(read_response(friendly).body, "POST / abc");
}

TEST(Http, AllBodiesTogetherHaveALimit) {
  std::atomic<bool> holds{false}, let_go{false};
  http::Limits limits;
  limits.body_bytes = 200'000;
  limits.all_bodies_bytes = 250'000;
  const auto server = start(
      [&](const http::Request& r, const ExchangePtr& e) {
        if (r.path == "/hold") {
          holds = true;
          EXPECT_TRUE(soon([&] { return let_go.load(); }));
        }
        e->respond(200, "text/plain", "");
      },
      limits);
  const std::string half(150'000, 'x');
  const auto refused = [&](const std::string& bytes) {
    return ask(server->port(), bytes).status == 503;
  };
  Client first(server->port());
  ASSERT_TRUE(first.send(request("POST", "/hold", half)));
  ASSERT_TRUE(soon([&] { return holds.load(); }));
  EXPECT_TRUE(refused(request("POST", "/", half)));
  const std::string chunk = fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", half.size(), half);
  EXPECT_TRUE(
      refused("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk));
  EXPECT_EQ(ask(server->port(), request("POST", "/", half.substr(60'000))).status, 200)
      << "there is room for less";
  let_go = true;
  EXPECT_EQ(read_response(first).status, 200) << "the first is none of those refused";
  EXPECT_TRUE(soon([&] { return !refused(request("POST", "/", half)); })) << "room again";
}

TEST(Http, WhatIsAnnouncedButNotSentTakesNoRoom) {
  http::Limits limits;
  limits.body_bytes = limits.all_bodies_bytes = 100'000;
  const auto server = start(echo, limits);
  Client idle(server->port());
  ASSERT_TRUE(idle.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"));
  EXPECT_TRUE(soon([&] { return server->connections() == 1; }));
  EXPECT_EQ(ask(server->port(), request("POST", "/", std::string(90'000, 'x'))).status, 200);
}

TEST(Http, LargeAnswersArriveWhole) {
  const auto server = start([](const http::Request&, const ExchangePtr& e) {
    e->respond(200, "text/plain", std::string(5'000'000, 'a'));
  });
  Client client(server->port());
  for (int n = 0; n < 2; ++n) {
    ASSERT_TRUE(client.send(request("GET", "/")));
    EXPECT_EQ(read_response(client).body, std::string(5'000'000, 'a'));
  }
}

TEST(Http, AnOpenedServerHasItsPortAndRefusesConnectionsUntilItServes) {
  http::Options o;
  o.port = 0;
  const auto opened = http::Server::open(o);
  ASSERT_TRUE(opened) << opened.error().text();
  http::Server& server = **opened;
  EXPECT_GT(server.port(), 0);
  EXPECT_THROW(Client(server.port()), std::runtime_error);
  ASSERT_TRUE(server.serve(echo, {}));
  EXPECT_EQ(ask(server.port(), request("GET", "/")).status, 200);
}

TEST(Http, APortThatIsTakenIsAnErrorWithItsNumber) {
  const auto server = start(echo);
  http::Options o;
  o.port = server->port();
  const auto second = http::Server::open(o);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().what.find(std::to_string(o.port)), std::string::npos);
}

}  // namespace
}  // namespace bezel::test
