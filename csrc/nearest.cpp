// kernels/nearest on the CPU: a balanced k-d tree whose leaves hold eight points side by side, searched in float64.
#include "nearest.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "export.h"
#include "pool.h"

namespace polyglyph {
namespace {

constexpr int LEAF = 8;
constexpr int64_t QUERIES = 512;  // that one task answers
constexpr int DEPTH = 64;         // more than the levels of any tree that fits into memory

struct Item {
    double place[3];
    int64_t row;  // of the cloud
};

struct Leaf {
    double x[LEAF], y[LEAF], z[LEAF];
    int64_t row[LEAF];
};

// What is to the left of the plane, and what is to its right: nodes, or leaves as -1 - their number.
struct Node {
    double plane;
    int32_t axis, left, right;
};

class Tree {
public:
    template <class T>
    Tree(const T* points, int64_t count) : leaves_((count + LEAF - 1) / LEAF) {
        std::vector<Item> items(count);
        for (int64_t row = 0; row < count; ++row) {
            const T* p = points + 3 * row;
            items[row] = {{double(p[0]), double(p[1]), double(p[2])}, row};
        }
        nodes_.reserve(leaves_.size());
        root_ = build(items.data(), count, 0, int64_t(leaves_.size()));
    }

    int64_t nearest(const double* query) const {
        struct Part {
            double squared, offset[3];  // from the query to the part of space, and along each axis
            int32_t node;
        } waiting[DEPTH], at{0, {0, 0, 0}, root_};
        int count = 0;
        double best = std::numeric_limits<double>::infinity();
        int64_t row = 0;
        for (;;) {
            while (at.node >= 0) {
                const Node& node = nodes_[at.node];
                const double offset = query[node.axis] - node.plane, before = at.offset[node.axis];
                const double squared = at.squared + (offset * offset - before * before);
                at.node = offset < 0 ? node.left : node.right;
                if (squared * MARGIN >= best) continue;
                Part& other = waiting[count++];
                other = at;
                other.node = offset < 0 ? node.right : node.left;
                other.squared = squared, other.offset[node.axis] = offset;
            }
            look_in(leaves_[-1 - at.node], query, best, row);
            do {
                if (count == 0) return row;
                at = waiting[--count];
            } while (at.squared * MARGIN >= best);
        }
    }

private:
    static constexpr double MARGIN = 1 - 1e-9;  // for the rounding of sums of squares

    std::vector<Node> nodes_;
    std::vector<Leaf> leaves_;
    int32_t root_ = 0;

    // Fills leaves [first, first + leaves) and returns their node.
    int32_t build(Item* items, int64_t count, int64_t first, int64_t leaves) {
        if (leaves == 1) {
            Leaf& leaf = leaves_[first];
            for (int n = 0; n < LEAF; ++n) {
                const Item& item = items[n < count ? n : 0];  // a leaf that is not full repeats its first point
                leaf.x[n] = item.place[0], leaf.y[n] = item.place[1], leaf.z[n] = item.place[2];
                leaf.row[n] = item.row;
            }
            return int32_t(-1 - first);
        }
        const int axis = widest(items, count);
        const int64_t half = leaves / 2, middle = half * LEAF;
        std::nth_element(items, items + middle, items + count, [axis](const Item& a, const Item& b) {
            return a.place[axis] < b.place[axis];
        });
        const int32_t here = int32_t(nodes_.size());
        nodes_.push_back({items[middle].place[axis], axis, 0, 0});
        const int32_t left = build(items, middle, first, half);
        const int32_t right = build(items + middle, count - middle, first + half, leaves - half);
        nodes_[here].left = left, nodes_[here].right = right;
        return here;
    }

    static int widest(const Item* items, int64_t count) {
        double low[3], high[3];
        for (int axis = 0; axis < 3; ++axis) low[axis] = high[axis] = items[0].place[axis];
        for (int64_t n = 1; n < count; ++n)
            for (int axis = 0; axis < 3; ++axis) {
                low[axis] = least(low[axis], items[n].place[axis]);
                high[axis] = most(high[axis], items[n].place[axis]);
            }
        int found = 0;
        for (int axis = 1; axis < 3; ++axis)
            if (high[axis] - low[axis] > high[found] - low[found]) found = axis;
        return found;
    }

    static void look_in(const Leaf& leaf, const double* query, double& best, int64_t& row) {
        double squared[LEAF], lowest[LEAF / 2];
        for (int n = 0; n < LEAF; ++n)
            squared[n] = squared_distance(leaf.x[n], leaf.y[n], leaf.z[n], query[0], query[1], query[2]);
        for (int n = 0; n < LEAF / 2; ++n) lowest[n] = least(squared[n], squared[n + LEAF / 2]);
        if (least(least(lowest[0], lowest[1]), least(lowest[2], lowest[3])) >= best) return;
        for (int n = 0; n < LEAF; ++n)
            if (squared[n] < best) best = squared[n], row = leaf.row[n];
    }
};

template <class T>
void nearest(const T* query, int64_t count, const T* points, int64_t among, int64_t* index, int64_t threads) {
    const Tree tree(points, among);
    parallel_runs(count, QUERIES, threads, [&](int64_t first, int64_t last) {
        for (int64_t n = first; n < last; ++n) {
            const double place[3] = {double(query[3 * n]), double(query[3 * n + 1]), double(query[3 * n + 2])};
            index[n] = tree.nearest(place);
        }
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define NEAREST(T, NAME)                                                                                      \
    /* query [count, 3], points [among >= 1, 3], all finite -> index [count] */                               \
    POLYGLYPH_EXPORT int polyglyph_nearest_##NAME(                                                            \
        const T* query, int64_t count, const T* points, int64_t among, int64_t* index, int64_t threads        \
    ) {                                                                                                       \
        return guarded([&] { nearest(query, count, points, among, index, threads); });                        \
    }

NEAREST(float, f32)
NEAREST(double, f64)
