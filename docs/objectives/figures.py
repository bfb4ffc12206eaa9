"""Draw what each objective sees or does, on the demo clip: `python docs/objectives/figures.py` with the extra `dev`.

Every picture comes from the functions that training calls, with the weights that ship. What an objective learns for
itself beside the encoder (a head, a regressor, an auto-encoder) is untrained here: the encoder's layer3, at unit
length and with a low temperature, stands for it. The walks' patches lose their common mean for the same reason.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from drawing import (
    FRAMES,
    MARK,
    OTHER_MARK,
    SIDE,
    Scene,
    box,
    demo_scene,
    dots,
    groups,
    heat,
    middle,
    patch_box,
    photo,
    place_colours,
    save,
    seeded,
    sheet,
    signed,
    table,
    walker,
)
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from selfvos.objectives import cltc, concorr, corrflow, dino, dul, jstg, liir, mast, mug, scr, timecycle, uvc, vfs
from selfvos.ops import contrast, cycles, masks, reconstruction, walks
from selfvos.ops.alignment import AlignConfig, shrink
from selfvos.ops.carrying import CarryConfig, carry_labels
from selfvos.ops.clustering import ClusterConfig, cluster_video
from selfvos.ops.colour import AB_CENTRES, ab_bins, grey, lab_to_rgb, rgb_to_lab
from selfvos.ops.matching import MatchConfig
from selfvos.ops.propagation import dense_affinity, propagate
from selfvos.ops.pseudo_objects import ObjectChoice, choose_objects, clean
from selfvos.ops.warp import TransformConfig, sample_transform, theta, warp, warp_unit

TAU = 0.01


def colorization(scene: Scene) -> Figure:
    """Colour a grey frame from three frames before it."""
    features = scene.look(grey(scene.clip[:4]))
    lab = rgb_to_lab(scene.clip[:4])
    bins = functional.one_hot(ab_bins(reconstruction.at_cells(lab, 8)), len(AB_CENTRES)).float()
    affinity = dense_affinity(features[3:].flatten(2), features[:3].transpose(0, 1).flatten(1)[None], TAU)
    guess = propagate(affinity, bins[:3].flatten(0, 2)[None, None])[0, 0]
    ab = (guess @ torch.tensor(AB_CENTRES).float()).T.unflatten(-1, features.shape[-2:])
    figure, ax = sheet("the target, as it is seen", "a reference's colours", "the target's, pointed at", "the truth")
    photo(next(ax), grey(scene.clip[3]))
    for colours in (lab[0, 1:], functional.interpolate(ab[None], scale_factor=8)[0], lab[3, 1:]):
        photo(next(ax), lab_to_rgb(torch.cat([torch.full_like(colours[:1], 65), 3 * colours])))
    return figure


def corrflow_(scene: Scene) -> Figure:
    """Send colours along a chain of frames and back."""
    frames = scene.clip[None, [0, 2, 4]]
    kept = corrflow.draw_kept(1, 1.0, seeded(1))
    onward, back = corrflow.chain_affinities(scene.look(frames[0])[None], radius_cells=6, temperature=TAU)
    carried = [reconstruction.at_cells(frames[:, 0], 8)]
    for link in (*onward, *reversed(back)):
        carried.append(reconstruction.propagate_window(link, carried[-1]))
    figure, ax = sheet("input, channels taken out", "colours of frame 0", "carried to frame 8", "to frame 16", "back")
    for picture in (frames[0, 0] * kept[0, :, None, None], *(carried[i][0] for i in (0, 1, 2, 4))):
        photo(next(ax), picture)
    return figure


def mast_(scene: Scene) -> Figure:
    """Rebuild the colour channel that was taken out."""
    seen, channel = mast.take_channel(scene.clip[None, [0, 3]], seeded())
    reference, target = scene.look(seen[0]).unsqueeze(1)
    affinity = reconstruction.window_affinity(
        reconstruction.window_scores(target, reference, radius_cells=6, temperature=TAU)
    )
    rebuilt = reconstruction.propagate_window(affinity, reconstruction.at_cells(channel[:, 0], 8))
    figure, ax = sheet("frame 12 without its channel", "the channel in frame 0", "in frame 12, rebuilt", "the truth")
    photo(next(ax), seen[0, 1])
    for colour in (channel[0, 0, 0], rebuilt[0, 0], channel[0, 1, 0]):
        signed(next(ax), colour, 0.12)
    return figure


def liir_(scene: Scene) -> Figure:
    """Let cells of another video compete for a match."""
    target, reference, stranger = scene.look(torch.stack([scene.clip[2], scene.clip[0], scene.other])).unsqueeze(1)
    scores = reconstruction.window_scores(target, reference, radius_cells=6, temperature=3 * TAU)
    strangers = torch.stack([reference[0], stranger[0]]).flatten(2).mT
    others = liir.other_videos(torch.cat([target, target]), strangers, temperature=3 * TAU)
    assert others is not None
    affinity = reconstruction.window_affinity(scores, others[:1])[0]
    row, column = 7, 11
    window = affinity[:, row, column].unflatten(0, (13, 13))
    figure, ax = sheet("frame 8, one cell", "its window in frame 0", "what strangers take", "a stranger")
    first, second, third, fourth = ax
    photo(first, scene.clip[2])
    dots(first, middle(target)[[row * 32 + column]], size=30)
    whole = torch.zeros(44, 44)
    whole[row : row + 13, column : column + 13] = window
    heat(second, scene.clip[0], whole[6:38, 6:38])
    heat(third, scene.clip[2], 1 - affinity.sum(dim=0), most=1)
    photo(fourth, scene.other)
    return figure


def timecycle_(scene: Scene) -> Figure:
    """Track a patch back through time and forth again."""
    features = scene.look(scene.clip).unsqueeze(1)
    truth = cycles.affine_matrix(torch.tensor([[-0.4, -0.3]]), torch.zeros(1), 1 / 3)
    patch = functional.normalize(cycles.cut(features[-1], truth, (10, 10)), dim=1)

    def locate(affinity: Tensor) -> Tensor:
        return uvc.locate_box(affinity, (32, 32), scale=1 / 3)

    ways, found = [], patch
    for t in (3, 2, 1, 0, 1, 2, 3, 4):
        _, where, found = timecycle.step(found, features[t], locate, temperature=TAU)
        ways.append(where[0])
    figure, ax = sheet(*(f"frame {number}" for number in reversed(FRAMES)))
    for t, on in zip(reversed(range(5)), ax, strict=True):
        photo(on, scene.clip[t])
        box(on, truth[0] if t == 4 else ways[3 - t], OTHER_MARK)
        if t:
            box(on, ways[3 + t])
    return figure


def uvc_(scene: Scene) -> Figure:
    """Find a patch in another frame and carry its colours there."""
    cut_out, centre = (104, 104), torch.tensor([[-0.42, -0.5]])
    where = cycles.affine_matrix(centre, torch.zeros(1), 104 / SIDE)
    patch = cycles.cut(scene.clip[:1], where, cut_out)
    reference, whole = scene.look(grey(patch)), scene.look(grey(scene.clip[3:4]))
    scale = 104 / SIDE
    found = uvc.locate_box(cycles.frame_affinity(reference, whole, temperature=TAU), (32, 32), scale=scale)
    target = functional.normalize(cycles.cut(whole, found, (13, 13)), dim=1)
    affinity = cycles.frame_affinity(target, reference, temperature=TAU)
    rebuilt = cycles.transport(affinity, reconstruction.at_cells(patch, 8), (13, 13))
    reached = cycles.expected_positions(affinity, middle(reference))[0]
    figure, ax = sheet("a patch of frame 0", "found in frame 12", "its colours, carried", "the truth", "where from")
    photo(next(ax), patch[0])
    on = next(ax)
    photo(on, scene.clip[3])
    box(on, found[0])
    photo(next(ax), rebuilt[0])
    photo(next(ax), cycles.cut(scene.clip[3:4], found, cut_out)[0])
    on = next(ax)
    photo(on, grey(patch)[0])
    dots(on, reached, place_colours(middle(target)).numpy())
    return figure


def mug_(scene: Scene) -> Figure:
    """Look at a frame, its neighbour, a distant frame and another video."""
    features = scene.look(torch.cat([scene.clip, scene.other[None]]))
    colours = functional.adaptive_avg_pool2d(rgb_to_lab(scene.clip[:1]), (32, 32))
    near, far = (cycles.frame_affinity(features[:1], features[t : t + 1], temperature=TAU) for t in (1, 4))
    cells = middle(features)
    chosen = torch.arange(1024).view(32, 32)[2::4, 2::4].flatten()
    motion = mug.fit_affine(cells, cycles.expected_positions(far, cells), far.amax(dim=1))
    whole = functional.normalize(features.mean(dim=(2, 3)) - features.mean(dim=(0, 2, 3)), dim=1)
    figure, ax = sheet("frame: foreground map", "short: to the next frame", "long: one motion", "video: who is who")
    heat(next(ax), scene.clip[0], mug.border_saliency(colours)[0])
    for points, t in ((cycles.expected_positions(near, cells)[0], 1), (cycles.move(motion, cells)[0], 4)):
        on = next(ax)
        photo(on, scene.clip[t])
        moved = points[chosen] - cells[chosen]
        on.quiver(
            *cells[chosen].T.numpy(), *moved.T.numpy(), angles="xy", scale_units="xy", scale=1, color=MARK, width=0.012
        )
    table(next(ax), whole @ whole.T)
    return figure


def crw_(scene: Scene) -> Figure:
    """Follow one walker through the patches of three frames and back."""
    nodes = scene.nodes(0, 2, 4)
    there, back = walks.there_and_back(nodes, temperature=TAU * 5, edge_dropout=0.0, generator=seeded())
    out, home = walks.follow(*there), walks.follow(back[1], back[0])
    start = int(walks.come_home(out, home)[0].argmax())
    figure, ax = sheet("a patch of frame 0", "in frame 8", "in frame 16", "home again, in frame 0")
    on = next(ax)
    photo(on, scene.clip[0])
    box(on, patch_box(start))
    for frame, way in ((2, there[0]), (4, out), (0, walks.follow(out, home))):
        walker(next(ax), scene.clip[frame], way[0, start])
    return figure


def concorr_(scene: Scene) -> Figure:
    """Compare a frame with its own clip and with another video at once."""
    target, reference, other = scene.look(torch.stack([scene.clip[2], scene.clip[0], scene.other])).unsqueeze(1)
    affinity = concorr.batch_affinity(
        torch.cat([target, other]), torch.cat([reference, other]), temperature=TAU * 5
    ).unflatten(0, (2, 32, 32))
    cell = 9 * 32 + 14
    figure, ax = sheet("frame 8, one cell", "its weights in frame 0", "in another video", "weight that stays at home")
    on = next(ax)
    photo(on, scene.clip[2])
    dots(on, middle(target)[[cell]], size=30)
    most = affinity[..., cell].max().item()
    heat(next(ax), scene.clip[0], affinity[0, ..., cell], most=most)
    heat(next(ax), scene.other, affinity[1, ..., cell], most=most)
    heat(next(ax), scene.clip[2], affinity[0, ..., :1024].sum(dim=(0, 1)).view(32, 32), most=1)
    return figure


def cltc_(scene: Scene) -> Figure:
    """Mine positives and negatives."""
    frame, reference = (cells.flatten(1).T[None] for cells in scene.look(scene.clip[[2, 0]]))
    scores = contrast.similarity(frame, reference, temperature=TAU)
    confidence = cltc.match_confidence(scores, (32, 32))
    config = cltc.CLTCConfig()
    band = cltc.negative_band(confidence.video, 1024, too_hard=config.too_hard, band=config.band)[0]
    cell = int(confidence.cells[0].argmax())
    rank = scores[0, cell].argsort(descending=True).argsort()
    hard = torch.where(band[rank], 1.0, torch.where(rank < band.int().argmax(), 0.45, 0.0)).view(32, 32)
    figure, ax = sheet("how sure each match is", "frame 8, the surest cell", "match; negatives bright", "matches used")
    heat(next(ax), scene.clip[2], confidence.cells[0].view(32, 32))
    on = next(ax)
    photo(on, scene.clip[2])
    dots(on, middle(hard)[[cell]], size=30)
    on = next(ax)
    heat(on, scene.clip[0], hard, most=1)
    dots(on, middle(hard)[rank == 0], size=30)
    on, surest = next(ax), confidence.cells[0].argsort(descending=True)[:150]
    photo(on, scene.clip[0])
    dots(on, middle(hard)[scores[0, surest].argmax(dim=1)], place_colours(middle(hard)[surest]).numpy())
    return figure


def jstg_(scene: Scene) -> Figure:
    """Step to neighbours before stepping in time."""
    nodes, start = scene.nodes(0, 2, 4), 16
    touching = jstg.adjacency(7, 7)
    relations = contrast.similarity(nodes[0], nodes[0], temperature=0.1)
    space = jstg.space_transition(relations, touching | torch.eye(49, dtype=torch.bool))
    there, _ = walks.there_and_back(nodes, temperature=TAU * 5, edge_dropout=0.0, generator=seeded())
    figure, ax = sheet("edges within frame 0", "a step in space", "then in time, to frame 8", "in time alone")
    on, centres = next(ax), cycles.cell_positions(7, 7, like=nodes) * 7 / 8
    photo(on, grey(scene.clip[0]))
    for one, other in touching.triu().nonzero().tolist():
        ends, width = centres[torch.tensor([one, other])], 8 * (space[0, one, other].exp() + space[0, other, one].exp())
        on.plot(*ends.T.numpy(), color=MARK, linewidth=float(width))
    for frame, way in ((0, space[:1]), (2, walks.follow(space[:1], there[0])), (2, there[0])):
        walker(next(ax), scene.clip[frame], way[0, start])
    return figure


def vfs_(scene: Scene) -> Figure:
    """Compare views of the clip's frames as wholes."""
    config = vfs.VFSConfig()
    frames = torch.cat([scene.clip[:4], scene.other[None]])
    views = vfs.make_views(frames, 224, config.view, seeded(1))
    pooled = vfs.pooled_base(scene.model, views, 256)
    centred = functional.normalize(pooled - pooled.mean(dim=0), dim=1)
    figure, ax = sheet(*(f"view of frame {number}" for number in FRAMES[:4]), "another video", "how alike")
    for view in views:
        photo(next(ax), view)
    table(next(ax), centred @ centred.T)
    return figure


def dino_(scene: Scene) -> Figure:
    """Cut global and local views out of one frame."""
    frame = scene.clip[:1]
    kinds = [(dino.GLOBAL_VIEW, 224, OTHER_MARK)] * 2 + [(dino.LOCAL_VIEW, 96, MARK)] * 3
    figure, ax = sheet("frame 0", "global: to the teacher", "and to the student", *["local: student only"] * 3)
    on, generator = next(ax), seeded(4)
    photo(on, frame[0])
    for view, side, colour in kinds:
        state = generator.get_state()
        photo(next(ax), vfs.make_views(frame, side, view, generator)[0])
        again = torch.Generator()
        again.set_state(state)
        box(on, theta(sample_transform(1, again, view))[0], colour)
    return figure


def dul_(scene: Scene) -> Figure:
    """Label a transformed frame by the anchors of another one."""
    transform = sample_transform(1, seeded(2), TransformConfig(min_scale=0.6, max_scale=0.7))
    second = warp(scene.clip[2:3], transform)
    first, plain, seen = scene.look(torch.cat([scene.clip[:1], scene.clip[2:3], second])).unsqueeze(1)
    points = contrast.grid_points(1, 8, 32, 32, seeded())
    anchors = contrast.gather_points(first, points)
    labels = dul.pseudo_labels(anchors, seen[:, None])[0, 0]
    taught = dul.pseudo_labels(anchors, warp_unit(plain, transform)[:, None])[0, 0]
    places = middle(first)[points[0, :, 0] * 32 + points[0, :, 1]]
    colours = place_colours(places)
    figure, ax = sheet("anchors in frame 0", "frame 8, second view", "its labels", "first view, moved", "they agree")
    on = next(ax)
    photo(on, scene.clip[0])
    dots(on, places, colours.numpy(), size=22)
    photo(next(ax), second[0])
    for map_ in (labels, taught):
        photo(next(ax), colours[map_].movedim(-1, 0))
    heat(next(ax), second[0], (labels == taught).float(), most=1)
    return figure


def scr_(scene: Scene) -> Figure:
    """Go to each frame and straight back."""
    steps = scr.complete_graph(scene.nodes(*range(5)), temperature=TAU * 5, edge_dropout=0.0, generator=seeded())
    figure, ax = sheet("frame 0", *(f"home from frame {number}" for number in FRAMES[1:]))
    photo(next(ax), scene.clip[0])
    for t in range(1, 5):
        on = next(ax)
        walker(on, scene.clip[0], walks.come_home(steps[0, t], steps[t, 0])[0])
        on.images[-1].set_clim(0, 1)
    return figure


def l_short(scene: Scene) -> Figure:
    """Mark positions that a transformed frame and its neighbour shall agree on."""
    transform = sample_transform(1, seeded(5), TransformConfig(max_scale=0.8))
    transformed = warp(scene.clip[:1], transform)
    key, neighbour = (scene.model.encode_frame(x).key for x in (transformed, scene.clip[1:2]))
    points = contrast.grid_points(1, 8, 32, 32, seeded())
    places = middle(key)[points[0, :, 0] * 32 + points[0, :, 1]]
    alike = (key * warp_unit(neighbour, transform)).sum(dim=1)[0]
    figure, ax = sheet("frame 0, transformed", "frame 4", "how alike they are")
    for picture, where in ((transformed[0], places), (scene.clip[1], cycles.move(theta(transform), places)[0])):
        on = next(ax)
        photo(on, picture)
        dots(on, where, place_colours(places).numpy())
    heat(next(ax), transformed[0], alike, most=1)
    return figure


def l_long(scene: Scene) -> Figure:
    """Show what a cell is rebuilt from in a distant, transformed frame."""
    frame, reference = scene.model.encode_frame(scene.clip[[0, 4]]).key.unsqueeze(1)
    transform = sample_transform(1, seeded(5), TransformConfig(max_scale=0.8))
    cells = torch.tensor([7 * 32 + 6, 17 * 32 + 8, 11 * 32 + 24])
    affinity = dense_affinity(frame.flatten(2)[:, :, cells], warp_unit(reference, transform).flatten(2), 0.05)
    figure, ax = sheet("frame 0, three cells", *(f"cell {i} in frame 16, moved" for i in (1, 2, 3)))
    on = next(ax)
    photo(on, scene.clip[0])
    dots(on, middle(frame)[cells], size=30)
    for i, cell in enumerate(cells):
        on.annotate(str(i + 1), tuple((middle(frame)[cell] + 0.06).tolist()), color="white", fontsize=9)
        heat(next(ax), warp(scene.clip[4:], transform)[0], affinity[0, :, i].view(32, 32))
    return figure


def pseudo_masks(scene: Scene) -> tuple[Tensor, Tensor]:
    """Return the clusters of three frames, and the labels of one of them as an object, in pixels."""
    maps, centroids = cluster_video(scene.look(scene.clip[:3]).movedim(1, -1), ClusterConfig(clusters=5), seed=0)
    found, _ = choose_objects(clean(maps, len(centroids)), ObjectChoice(objects=1), seeded(1))
    return maps, functional.interpolate(found[:, None].float(), scale_factor=8, mode="nearest")[:, 0].long()


def l_seg(scene: Scene) -> Figure:
    """Predict a pseudo mask: warped first, decoded then."""
    model, features = scene.model, scene.model.encode_frame(scene.clip[:3])
    maps, labels = pseudo_masks(scene)
    context = model.prepare_masks(scene.clip[:3], features)
    truth = masks.one_hot(labels, 1)
    affinity = dense_affinity(features.key[2:].flatten(2), features.key[:1].flatten(2), 0.05)
    coarse = propagate(affinity, masks.to_cells(truth[:1], 8).flatten(2)[..., None])[..., 0].unflatten(-1, (32, 32))
    parts = {name: getattr(context, name) for name in context.__annotations__}
    first, last = (
        type(context)(**{name: part if part is None else part[t : t + 1] for name, part in parts.items()})
        for t in (0, 2)
    )
    values = model.encode_masks(first, truth[:1, 1:]).flatten(3).mT
    readout = propagate(affinity, values).mT.unflatten(-1, (32, 32))
    guess = model.encode_masks(last, masks.to_pixels(coarse, 8)[:, 1:])
    decoded = masks.aggregate(model.decode_masks(last, readout, guess))[0, 1]
    figure, ax = sheet(
        "clusters of the clip", "one as a mask, frame 0", "warped to frame 8", "decoded", "its own cluster"
    )
    groups(next(ax), maps[0])
    for frame, mask in ((0, truth[0, 1]), (2, coarse[0, 1]), (2, decoded), (2, truth[2, 1])):
        heat(next(ax), scene.clip[frame], mask, most=1)
    return figure


def l_refine(scene: Scene) -> Figure:
    """Carry a mask through a clip as tracking does, and look at what is left to mend."""
    _, labels = pseudo_masks(scene)
    keys = scene.look(scene.clip[:3]).movedim(1, -1)
    truth = masks.to_cells(masks.one_hot(labels, 1), 2)
    pictures = [shrink(frame[None], 2) for frame in scene.clip[:3]]
    config = CarryConfig(match=MatchConfig(radius_cells=12.0), scale=4, align=AlignConfig())
    carried = [one.labels[1] for one in carry_labels(keys, pictures, truth[0], config)]
    mistakes = (carried[1] - truth[2, 1]).abs()
    figure, ax = sheet("a mask, frame 0", "carried to frame 4", "and on to frame 8", "its mistakes", "its own cluster")
    for frame, mask in ((0, truth[0, 1]), (1, carried[0]), (2, carried[1]), (2, mistakes), (2, truth[2, 1])):
        heat(next(ax), scene.clip[frame], mask, most=1)
    return figure


FIGURES: dict[str, Callable[[Scene], Figure]] = {
    function.__name__.removesuffix("_"): function
    for function in (
        *(colorization, corrflow_, timecycle_, uvc_, mug_, mast_, crw_, concorr_, cltc_, jstg_, vfs_, dino_, dul_),
        *(scr_, liir_, l_short, l_long, l_seg, l_refine),
    )
}


@torch.inference_mode()
def draw(folder: Path, scene: Scene) -> list[Path]:
    """Write all figures and return them."""
    return [save(figure(scene), folder / f"{name}.png") for name, figure in FIGURES.items()]


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "figures" / "objectives"
    for path in draw(Path(sys.argv[1]) if sys.argv[1:] else default, demo_scene()):
        print(path, f"{path.stat().st_size / 1024:.0f} kB")
