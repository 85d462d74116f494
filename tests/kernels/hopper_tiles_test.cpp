// The index arithmetic of the polarizer's versions 6 to 10, which needs no GPU.
#include "kernels/polarizer/versions/hopper_tiles.h"

#include <map>
#include <set>
#include <vector>

#include <doctest/doctest.h>

using namespace cnpd::kernels::hopper_tiles;

TEST_CASE("hopper tiles: a thread's columns are neighbouring channels, eight at a time") {
    std::set<int> channels;
    for (int q = 0; q < 4; ++q)
        for (int group = 0; group < 4; ++group)
            for (int i = 0; i < 8; ++i) {
                const int column = 8 * (4 * group + i / 2) + 2 * q + i % 2;
                const int channel = channel_of_column(column);
                CHECK(channel == 32 * group + 8 * q + i);
                channels.insert(channel);
            }
    CHECK(channels.size() == kColumns);
    CHECK(*channels.rbegin() == kColumns - 1);
}

TEST_CASE("hopper tiles: the boxes of a map put every channel into its column's line") {
    std::map<int, int> channel_of_line;
    for (int i = 0; i < kMapBoxes; ++i) {
        const MapBox box = map_box(i);
        CHECK(box.line % kMapBoxLines == 0);  // the swizzle's period: 1024 bytes
        // A box is [4, 1, 2, k]: lines in the order of q, then e.
        for (int line = 0; line < kMapBoxLines; ++line)
            channel_of_line[box.line + line] = 8 * (box.q + line / 2) + 2 * box.j + line % 2;
    }
    CHECK(channel_of_line.size() == kColumns);
    for (const auto& [line, channel] : channel_of_line) CHECK(channel == channel_of_column(line));
}

TEST_CASE("hopper tiles: shared memory is sufficient") {
    for (int chunks = 2; chunks <= kMostChunks; chunks += 2) {
        CHECK(stages(chunks) >= kLeastStages);
        CHECK(stages(chunks) <= kMostStages);
        CHECK(shared_bytes(chunks) <= kBlockBytes);
        CHECK(2 * 8 * (stages(chunks) + chunks) <= kBarrierBytes);
    }
    CHECK(stages(512 / kDepth) == 6);
}

TEST_CASE("hopper tiles: every part of the tiles is combined with every piece of the map once") {
    for (const int pieces : {1, 2, 3, 4, 5})
        for (const int cluster : {1, 2}) {
            if (pieces % cluster) continue;
            const int parts = 7;
            std::set<std::pair<int, int>> seen;
            for (int block = 0; block < parts * pieces; ++block) {
                const Share mine = share(block, cluster, pieces),
                            first = share(block / cluster * cluster, cluster, pieces);
                CHECK(mine.part == first.part);
                CHECK(mine.column0 == first.column0 + block % cluster * kColumns);
                CHECK(mine.column0 >= 0);
                CHECK(mine.column0 < pieces * kColumns);
                CHECK(mine.part < parts);
                seen.emplace(mine.column0, mine.part);
            }
            CHECK(seen.size() == static_cast<std::size_t>(parts * pieces));
        }
}

TEST_CASE("hopper tiles: parts are of equal size and cover all tiles") {
    for (const int tiles : {0, 1, 6, 33, 34, 2148, 1 << 24})
        for (const int parts : {1, 3, 33, 132}) {
            CHECK(part_begin(tiles, 0, parts) == 0);
            CHECK(part_begin(tiles, parts, parts) == tiles);
            for (int part = 0; part < parts; ++part) {
                const int size =
                    part_begin(tiles, part + 1, parts) - part_begin(tiles, part, parts);
                CHECK(size >= tiles / parts);
                CHECK(size <= tiles / parts + 1);
            }
        }
}

TEST_CASE("hopper tiles: boxes do not extend beyond a sample") {
    CHECK(boxes_fit(512, 65536, 16, true));
    CHECK(boxes_fit(128, 1, 1, false));
    CHECK(!boxes_fit(64, 64, 16, false));  // less than a piece
    CHECK(map_fits(640));
    CHECK(!map_fits(768));
    CHECK(!boxes_fit(512, 64, 49, true));
    CHECK(boxes_fit(512, 64, 49, false));
    CHECK(!boxes_fit(512, 64, 4, true));  // less than the swizzle's period
    for (std::int64_t positions = 1; positions <= 1024; ++positions) {
        if (!boxes_fit(512, 1024, positions, true)) continue;
        const std::int64_t rows = box_rows(positions, true);
        CHECK(rows % 8 == 0);
        CHECK(positions % rows == 0);
        CHECK(kRows / 2 % rows == 0);
        CHECK(kRows / rows <= 32);  // one lane per box
    }
}
